import AddressPools
import Synchronization

/// What all workers of a server share: what is served, and what was answered.
///
/// What is served is replaced as a whole while queries come in: each query is answered by the old or by the new one,
/// and none is lost.
public final class NameServer: Sendable {
    /// What the server tells of itself, and what it limits.
    public let options: ResponderOptions
    private let current: Mutex<Serving>
    private let generationNumber = Atomic<Int>(0)
    private let isStopped = Atomic<Bool>(false)
    private let tallies = Mutex<[Tally]>([])
    private let past = Mutex(ServerCounts())

    /// Makes a server, which answers nothing before it has workers.
    public init(_ serving: Serving, _ options: ResponderOptions) {
        current = Mutex(serving)
        self.options = options
    }

    /// What is served.
    public var serving: Serving { current.withLock { $0 } }

    /// Serves something else from now on.
    public func replace(with serving: Serving) {
        current.withLock { $0 = serving }
        generationNumber.add(1, ordering: .releasing)
    }

    /// Ends the workers, after what has come in is answered.
    public func stop() { isStopped.store(true, ordering: .releasing) }

    /// Whether the workers are to end.
    public var isStopping: Bool { isStopped.load(ordering: .acquiring) }

    /// How often what is served was replaced.
    public var generation: Int { generationNumber.load(ordering: .acquiring) }

    /// What all workers have answered since the server began.
    public func counts() -> ServerCounts {
        var sum = past.withLock { $0 }
        for tally in tallies.withLock({ $0 }) {
            tally.state.withLock { state in sum.add(state.counts, of: state.serving) }
        }
        return sum
    }

    /// A worker's responder and its counts.
    public func makeWorker() -> ServerWorker {
        let serving = serving
        let tally = Tally(
            Responder(options), serving, serving.counts(byAddress: options.countsAddresses))
        tallies.withLock { $0.append(tally) }
        return ServerWorker(server: self, tally: tally)
    }

    fileprivate func keep(_ counts: AnswerCounts, of serving: Serving) {
        past.withLock { $0.add(counts, of: serving) }
    }

    /// A worker's responder and its counts, which it holds while it answers; others read the counts in between.
    final class Tally: Sendable {
        struct State: ~Copyable {
            var responder: Responder
            var serving: Serving
            var counts: AnswerCounts
        }
        let state: Mutex<State>

        init(_ responder: consuming sending Responder, _ serving: Serving, _ counts: AnswerCounts) {
            state = Mutex(State(responder: responder, serving: serving, counts: counts))
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

    /// Goes over to what is served now, if that is something else.
    public mutating func refresh() {
        let now = server.generation
        guard now != generation else { return }
        generation = now
        let serving = server.serving
        let counts = serving.counts(byAddress: server.options.countsAddresses)
        let (oldCounts, oldServing) = tally.state.withLock { state in
            defer { (state.counts, state.serving) = (counts, serving) }
            return (state.counts, state.serving)
        }
        server.keep(oldCounts, of: oldServing)
    }

    /// Answers queries; `body` gets a responder, what is served and the counts.
    mutating func answer(_ body: (inout Responder, Serving, inout AnswerCounts) -> Void) {
        refresh()
        tally.state.withLock { state in body(&state.responder, state.serving, &state.counts) }
    }

    /// Corrects the counts of what was answered last, by what was served then.
    mutating func correct(_ body: (Serving, inout AnswerCounts) -> Void) {
        tally.state.withLock { state in body(state.serving, &state.counts) }
    }

    /// Answers a message that came over a stream.
    ///
    /// - Returns: The answer, without a length before it; empty for none.
    public mutating func answer(_ message: [UInt8], from client: IPAddress, at time: Responder.Time) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: Responder.maximumMessage)
        var count = 0
        answer { responder, serving, counts in
            var span = buffer.mutableSpan
            count = responder.respond(
                to: message.span, from: client, over: .tcp, at: time, with: serving, counting: &counts, into: &span)
        }
        return Array(buffer[..<count])
    }
}

/// What a server has answered, by names that outlive reloads.
public struct ServerCounts: Sendable {
    /// Answers with an address, by policy and by pool.
    public private(set) var byPolicy: [String: UInt64] = [:], byPool: [String: UInt64] = [:]
    /// All else, and the kinds.
    public private(set) var totals = AnswerCounts(policies: 0)
    /// Answers by pool and address, where that is asked for.
    public private(set) var byAddress: [String: [UInt64]] = [:]

    mutating func add(_ counts: AnswerCounts, of serving: Serving) {
        totals.add(counts)
        for (number, policy) in serving.policies.policies.enumerated() {
            byPolicy[policy.name, default: 0] &+= counts.byPolicy[number]
            guard case .pool(let pool, _, _) = policy.outcome else { continue }
            byPool[pool, default: 0] &+= counts.byPolicy[number]
        }
        for (number, addresses) in (counts.byAddress ?? []).enumerated() {
            let name = serving.policies.pools[number].name
            // A pool of another size begins anew.
            guard let known = byAddress[name], known.count == addresses.count else {
                byAddress[name] = addresses
                continue
            }
            byAddress[name] = zip(known, addresses).map { $0 &+ $1 }
        }
    }
}
