import AddressPools
import Synchronization

/// The state that all workers of a server share: the zones and policies in force, and the counts.
///
/// ``replace(with:)`` takes effect while queries arrive: each query is answered by the old or the new value as a whole,
/// and none is lost.
public final class NameServer: Sendable {
    /// The options of every worker's responder.
    public let options: ResponderOptions
    private let current: Mutex<ServedData>
    private let generationNumber = Atomic<Int>(0)
    private let isStopped = Atomic<Bool>(false)
    private let tallies = Mutex<[Tally]>([])
    private let past = Mutex(ServerCounts())

    /// Makes a server without workers.
    ///
    /// - Parameters:
    ///   - served: The zones and policies to serve.
    ///   - options: The options of every worker's responder.
    public init(_ served: ServedData, _ options: ResponderOptions) {
        current = Mutex(served)
        self.options = options
    }

    /// The zones and policies in force.
    public var served: ServedData { current.withLock { $0 } }

    /// Puts other zones and policies in force.
    ///
    /// Workers switch before the next query or batch of queries. Idle ones switch within half a second in
    /// ``DatagramServer``; others when ``ServerWorker/refresh()`` is called.
    ///
    /// - Parameter served: The zones and policies to serve.
    public func replace(with served: ServedData) {
        current.withLock { $0 = served }
        generationNumber.add(1, ordering: .releasing)
    }

    /// Asks the workers to end after they have answered the queries already received.
    public func stop() { isStopped.store(true, ordering: .releasing) }

    /// Whether ``stop()`` was called.
    public var isStopping: Bool { isStopped.load(ordering: .acquiring) }

    /// The number of calls of ``replace(with:)``.
    public var generation: Int { generationNumber.load(ordering: .acquiring) }

    /// Returns the counts of all workers since the server was made, across replaced policies.
    public func counts() -> ServerCounts {
        var sum = past.withLock { $0 }
        for tally in tallies.withLock({ $0 }) {
            tally.state.withLock { state in sum.add(state.counts, of: state.served) }
        }
        return sum
    }

    /// Returns a worker with a responder and counts of its own, which ``counts()`` includes from now on.
    public func makeWorker() -> ServerWorker {
        let served = served
        let tally = Tally(
            Responder(options), served, served.counts(byAddress: options.countsAddresses))
        tallies.withLock { $0.append(tally) }
        return ServerWorker(server: self, tally: tally)
    }

    fileprivate func keep(_ counts: AnswerCounts, of served: ServedData) {
        past.withLock { $0.add(counts, of: served) }
    }

    /// The state of a worker, behind a lock that it holds while it answers; ``counts()`` reads it in between.
    final class Tally: Sendable {
        struct State: ~Copyable {
            var responder: Responder
            var served: ServedData
            var counts: AnswerCounts
        }
        let state: Mutex<State>

        init(_ responder: consuming sending Responder, _ served: ServedData, _ counts: AnswerCounts) {
            state = Mutex(State(responder: responder, served: served, counts: counts))
        }
    }
}

/// Answers queries on one thread.
public struct ServerWorker: ~Copyable {
    private let server: NameServer
    private let tally: NameServer.Tally
    private var generation: Int

    fileprivate init(server: NameServer, tally: NameServer.Tally) {
        self.server = server
        self.tally = tally
        generation = server.generation
    }

    /// Switches to the zones and policies in force, if they were replaced.
    public mutating func refresh() {
        let now = server.generation
        guard now != generation else { return }
        generation = now
        let served = server.served
        let counts = served.counts(byAddress: server.options.countsAddresses)
        let (oldCounts, oldServing) = tally.state.withLock { state in
            defer { (state.counts, state.served) = (counts, served) }
            return (state.counts, state.served)
        }
        server.keep(oldCounts, of: oldServing)
    }

    /// Runs `body` with the responder, the zones and policies in force, and the counts.
    mutating func answer(_ body: (inout Responder, ServedData, inout AnswerCounts) -> Void) {
        refresh()
        tally.state.withLock { state in body(&state.responder, state.served, &state.counts) }
    }

    /// Corrects the counts of the last answers, with the zones and policies that they came from.
    mutating func correct(_ body: (ServedData, inout AnswerCounts) -> Void) {
        tally.state.withLock { state in body(state.served, &state.counts) }
    }

    /// Answers a message received over a stream.
    ///
    /// - Parameters:
    ///   - message: The message, without its length prefix.
    ///   - client: The client's address.
    ///   - time: The current time.
    /// - Returns: The answer without a length prefix, at most ``Responder/maximumMessage`` bytes; empty if there is
    ///   none.
    public mutating func answer(_ message: [UInt8], from client: IPAddress, at time: Responder.Time) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: Responder.maximumMessage)
        var count = 0
        answer { responder, served, counts in
            var span = buffer.mutableSpan
            count = responder.respond(
                to: message.span, from: client, over: .tcp, at: time, with: served, counting: &counts, into: &span)
        }
        return Array(buffer[..<count])
    }
}

/// The counts of a server, by names that outlive reloads.
public struct ServerCounts: Sendable {
    /// Answers with an address, by policy and by pool.
    public private(set) var byPolicy: [String: UInt64] = [:], byPool: [String: UInt64] = [:]
    /// All other counts; ``AnswerCounts/byPolicy`` is empty, and ``AnswerCounts/byAddress`` nil.
    public private(set) var totals = AnswerCounts(policies: 0)
    /// Answers by pool and by index of the address in the pool; empty unless ``ResponderOptions/countsAddresses`` is
    /// set.
    public private(set) var byAddress: [String: [UInt64]] = [:]

    mutating func add(_ counts: AnswerCounts, of served: ServedData) {
        totals.addTotals(of: counts)
        for (number, policy) in served.policies.policies.enumerated() {
            byPolicy[policy.name, default: 0] &+= counts.byPolicy[number]
            guard case .pool(let pool, _, _) = policy.outcome else { continue }
            byPool[pool, default: 0] &+= counts.byPolicy[number]
        }
        for (number, addresses) in (counts.byAddress ?? []).enumerated() {
            let name = served.policies.pools[number].name
            // The size of the pool has changed: start over.
            guard let known = byAddress[name], known.count == addresses.count else {
                byAddress[name] = addresses
                continue
            }
            byAddress[name] = zip(known, addresses).map { $0 &+ $1 }
        }
    }
}
