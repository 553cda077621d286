import AddressPools
import Documents
import Glibc
import PoolMoves
import Synchronization
import SteeringDNS
import Testing

/// A host with a pool: its files in a directory, a steering, DNS servers and clients, all with one clock that only
/// sleeping advances.
///
/// At each moment, every address that a server answers with, or that a client may still have in its cache, must be
/// steered; ``violations`` has those that were not.
final class World: Sendable {
    struct State {
        var elapsed = Duration.zero
        /// By how much a sleep is longer than asked for, so that long waits take few steps.
        var pace = 1.0
        /// The time of day at the beginning; changed where it is set. The clock is in the past, so that the tests know
        /// files that were written since it last advanced.
        var origin = 1_000_000_000.0
        var servers: [FakeServer] = []
        /// Prefixes in clients' caches, and when they expire.
        var cached: [(pool: PrefixPool, expiry: Double)] = []
        var violations: [String] = []
        /// What happens when the clock has advanced so far.
        var plans: [(at: Duration, action: @Sendable (World) throws -> Void)] = []

        /// The texts of the files, and what servers may answer with by them.
        var files: (texts: [String], pool: PrefixPool, ttl: UInt32)?

        var inForce = FakePolicy()
        /// Bindings and options of the policy file, beside those of its pools.
        var written = FakePolicy()
        /// Prefixes that are not routed here, and families without a socket.
        var unrouted = PrefixPool()
        var socketless: [IPFamily] = []
        /// Destinations of clients that send a packet each time the clock advances, until it has advanced so far.
        var visited: [(prefix: IPPrefix, until: Duration)] = []
        var packets: [IPPrefix: UInt64] = [:]
        /// Calls of the steering so far, the one that fails, and policies applied.
        var calls = 0, failing: Int?
        var applied: [FakePolicy] = []

        var progress: [MoveProgress] = []
        var waits: [MoveWait] = []
    }

    static let poolName = "web"
    let directory: String
    let state = Mutex(State())

    /// Makes a host whose pool has some prefixes.
    init(_ prefixes: String..., ttl: Int = 5, servers: [FakeServer] = [FakeServer()], pace: Double = 1) throws {
        directory = "/tmp/pool-moves-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        try #require(mkdir(directory, 0o700) == 0)
        try write(prefixes.joined(separator: "\n") + "\n", to: "web.txt")
        try write(
            """
            pools:
              web: { prefixes-from: web.txt, drained-from: web-drained.txt }
            names:
              zones: [example.zone]
              policies:
                - { name: www, exact: www.example.com, pool: web, ttl: \(ttl) }
                - { name: default, outcome: pass }

            """, to: "policy.yaml")
        let policy = try steering.wantedPolicy()
        state.withLock { state in
            state.inForce = policy
            state.calls = 0
            state.servers = servers
            state.pace = pace
        }
        advance(.milliseconds(500))
    }

    deinit {
        let names = ["policy.yaml", "web.txt", "web-drained.txt", "other.txt"]
        for name in names + names.map({ ".\($0).new" }) { remove("\(directory)/\(name)") }
        rmdir(directory)
    }
}

// MARK: - Files

extension World {
    var policy: String { "\(directory)/policy.yaml" }

    func write(_ text: String, to name: String) throws {
        let file = try #require(fopen("\(directory)/\(name)", "w"))
        defer { fclose(file) }
        #expect(fputs(text, file) >= 0)
    }

    func text(_ name: String) throws -> String {
        guard access("\(directory)/\(name)", F_OK) == 0 else { return "" }
        return String(decoding: try InputFile.contents(of: "\(directory)/\(name)"), as: UTF8.self)
    }

    /// The addresses of a file of prefixes.
    func prefixes(_ name: String) throws -> PrefixPool { try PrefixFile("\(directory)/\(name)").addresses }

    var drainable: DrainablePool { get throws { try DrainablePool(Self.poolName, policy: policy) } }

    /// Makes a file impossible to write, also for root: its new version cannot be created.
    func obstruct(_ name: String) throws { try #require(mkdir("\(directory)/.\(name).new", 0o700) == 0) }

    func unobstruct(_ name: String) throws { try #require(rmdir("\(directory)/.\(name).new") == 0) }

    /// Gives files that were written since the last call the time of day of this clock.
    private func stamp() {
        let now = clock.now
        for name in ["policy.yaml", "web.txt", "web-drained.txt"] {
            let path = "\(directory)/\(name)"
            guard let changed = DrainedFile.changed(path), changed > now + 1e8 else { continue }
            let time = timespec(tv_sec: Int(now), tv_nsec: Int((now - now.rounded(.down)) * 1e9))
            utimensat(AT_FDCWD, path, [time, time], 0)
        }
    }
}

// MARK: - Time

struct FakeClock: MoveClock {
    let world: World

    var now: Double { world.state.withLock { $0.origin + $0.elapsed / .seconds(1) } }
    var uptime: Duration { world.state.withLock { $0.elapsed } }
    func sleep(_ duration: Duration) { world.advance(duration * world.state.withLock { $0.pace }) }
}

extension World {
    var clock: FakeClock { FakeClock(world: self) }

    func advance(_ duration: Duration) {
        stamp()
        let due = state.withLock { state in
            state.elapsed += duration
            for visit in state.visited where state.elapsed <= visit.until {
                state.packets[visit.prefix, default: 0] += 1
            }
            let due = state.plans.filter { $0.at <= state.elapsed }
            state.plans.removeAll { $0.at <= state.elapsed }
            return due
        }
        for plan in due { #expect(throws: Never.self) { try plan.action(self) } }
        observe()
    }

    /// Lets something happen when the clock has advanced so far.
    func plan(at time: Duration, _ action: @escaping @Sendable (World) throws -> Void) {
        state.withLock { $0.plans.append((time, action)) }
    }

    /// Lets the servers notice changes, and checks that all answers are steered.
    func observe() {
        stamp()
        let now = clock.now
        guard let answered = answered() else { return }
        state.withLock { state in
            for index in state.servers.indices {
                state.servers[index].notice(answered.pool, now, &state.cached, answered.ttl)
            }
            state.cached.removeAll { $0.expiry < now }
            let used = state.cached.map(\.pool) + state.servers.map(\.answers)
            for pool in used {
                let lost = state.inForce.unsteered(in: pool)
                if !lost.isEmpty { state.violations.append("\(lost) after \(state.elapsed)") }
            }
        }
    }

    /// Returns what the files let servers answer with; nil if they are invalid.
    private func answered() -> (pool: PrefixPool, ttl: UInt32)? {
        let files = ["policy.yaml", "web.txt", "web-drained.txt"].map { (try? text($0)) ?? "" }
        if let known = state.withLock({ $0.files }), known.texts == files { return (known.pool, known.ttl) }
        guard let outline = try? NamePolicyOutline(contentsOf: policy) else { return nil }
        let answered = outline.answered.first { $0.pool.name == Self.poolName }
        let (pool, ttl) = (answered?.answers ?? PrefixPool(), answered?.ttl ?? 0)
        state.withLock { $0.files = (files, pool, ttl) }
        return (pool, ttl)
    }
}

/// A DNS server that notices a changed file some time after the change.
struct FakeServer: Sendable {
    /// The seconds until it notices a change.
    var delay = 0.3
    /// The name of its pool.
    var pool = World.poolName
    var isReachable = true

    private(set) var answers = PrefixPool()
    private var times = ServerTimes(read: 1, pools: [:])
    private var changed: Double?

    init(delay: Double = 0.3, pool: String = World.poolName, isReachable: Bool = true) {
        (self.delay, self.pool, self.isReachable) = (delay, pool, isReachable)
    }

    mutating func notice(
        _ written: PrefixPool, _ now: Double, _ cached: inout [(pool: PrefixPool, expiry: Double)], _ ttl: UInt32
    ) {
        if times.pools.isEmpty {
            answers = written
            times = ServerTimes(read: now, pools: [pool: now])
        }
        if written != answers, changed == nil { changed = now }
        // It reads its files from time to time, also those that did not change what it answers.
        let isDue = changed.map { now >= $0 + delay } ?? (now >= times.read + 2 * delay)
        guard isDue else { return }
        changed = nil
        if written != answers { cached.append((answers, now + Double(ttl))) }
        times = ServerTimes(read: now, pools: [pool: written == answers ? times.pools[pool]! : now])
        answers = written
    }

    func counters(_ address: SocketAddress) throws(DocumentError) -> ServerTimes {
        guard isReachable else { throw DocumentError("cannot read the counters of the server at \(address)") }
        return times
    }
}

extension World {
    /// The servers at 127.0.0.1:1, :2 and so on.
    var watch: ServerWatch {
        let count = state.withLock { $0.servers.count }
        return ServerWatch(
            servers: (1...max(1, count)).prefix(count).map {
                SocketAddress(IPAddress(ipv4: 0x7f00_0001), port: UInt16($0))
            },
            reload: 5
        ) { [self] address throws(DocumentError) in
            observe()
            return try state.withLock { $0.servers[Int(address.port) - 1] }.counters(address)
        }
    }
}

extension World {
    /// Moves the pool.
    func move(
        from old: String, to new: String, threshold: UInt64 = 0, quiet: Double = 1, until last: MoveStep = .moved,
        watch: ServerWatch? = nil
    ) throws(FakeFailure) {
        var move = Move(
            MovePlan(
                pool: Self.poolName, policy: policy, from: pool(old), to: pool(new), threshold: threshold, quiet: quiet,
                until: last), steering, watch ?? self.watch, clock,
            completed: { [self] progress throws(FakeFailure) in state.withLock { $0.progress.append(progress) } },
            waiting: { [self] reason in state.withLock { $0.waits.append(reason) } })
        defer { observe() }
        try move.run()
    }

    /// Moves the pool, and returns the steps that the move reports.
    func progress(from old: String, to new: String, until last: MoveStep = .moved) throws -> [MoveProgress] {
        state.withLock { $0.progress = [] }
        try move(from: old, to: new, until: last)
        return state.withLock { $0.progress }
    }

    /// Moves the pool, and returns the error; "" if there is none.
    func refusal(from old: String, to new: String, quiet: Double = 1) -> String {
        do throws(FakeFailure) { try move(from: old, to: new, quiet: quiet) } catch { return error.sentence }
        return ""
    }

    var waits: [MoveWait] { state.withLock { $0.waits } }
    var violations: [String] { state.withLock { $0.violations } }

    /// Everything that a move can change.
    func everything() throws -> [String] {
        [try text("web.txt"), try text("web-drained.txt"), "\(state.withLock { $0.inForce })"]
    }
}

/// A pool of prefixes that commas separate.
func pool(_ text: String) -> PrefixPool {
    try! PrefixPool(parsing: text.split(separator: ",").map(String.init))
}
