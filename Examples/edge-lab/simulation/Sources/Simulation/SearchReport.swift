/// The result of a simulation of searches.
public struct SearchReport: Sendable, Encodable {
    /// An attack on a name.
    public struct OnName: Sendable, Encodable {
        /// The attacked name, the finding, and whether it is correct.
        public let attacked: String, found: String, isRight: Bool
        /// The number of rounds, and their duration in seconds.
        public let rounds: Int, seconds: Int
        /// The number of suspected names at the start and after each round.
        public let left: [Int]

        init(attacked rank: Int, _ outcome: Search.Outcome, _ parameters: Search.Parameters) {
            attacked = "n\(rank).\(Authority.origin)"
            found = outcome.finding.text
            isRight = outcome.finding == .name(rank)
            rounds = outcome.rounds
            seconds = outcome.rounds * parameters.secondsPerRound
            left = outcome.left
        }
    }

    /// An attack on the address of all names.
    public struct OnAddress: Sendable, Encodable {
        /// The finding, and whether it is correct.
        public let found: String, isRight: Bool
        /// The number of rounds, and their duration in seconds.
        public let rounds: Int, seconds: Int

        init(_ outcome: Search.Outcome, _ parameters: Search.Parameters) {
            found = outcome.finding.text
            isRight = outcome.finding == .address
            rounds = outcome.rounds
            seconds = outcome.rounds * parameters.secondsPerRound
        }
    }

    /// The parameters of the simulation.
    public let names: Int, slices: Int, ttl: Int, attack: Double, requestsPerSecond: Double, resolvers: Int
    /// The seed of all random numbers.
    public let seed: UInt64
    /// The expected number of rounds: the logarithm of the names to the base of the slices, rounded up.
    public let roundsExpected: Int
    /// The duration of a round: the TTL, and the time for which requests are counted.
    public let secondsPerRound: Int
    /// The searches, the number of correct ones of each kind, and the most rounds that one on a name took.
    public let onNames: [OnName], onAddress: [OnAddress]
    public let namesFound: Int, addressesFound: Int, mostRounds: Int

    init(_ parameters: Search.Parameters, _ onNames: [OnName], _ onAddress: [OnAddress]) {
        (names, slices, ttl, attack) = (parameters.names, parameters.slices, parameters.ttl, parameters.attack)
        (requestsPerSecond, resolvers) = (parameters.requestsPerSecond, parameters.resolvers)
        seed = parameters.seed
        var rounds = 0, reach = 1
        while reach < parameters.names {
            reach *= parameters.slices
            rounds += 1
        }
        roundsExpected = rounds
        secondsPerRound = parameters.secondsPerRound
        (self.onNames, self.onAddress) = (onNames, onAddress)
        namesFound = onNames.count(where: \.isRight)
        addressesFound = onAddress.count(where: \.isRight)
        mostRounds = onNames.map(\.rounds).max() ?? 0
    }
}

extension Search.Parameters {
    fileprivate var secondsPerRound: Int { ttl + observeSeconds }
}

extension Search.Outcome.Finding {
    fileprivate var text: String {
        switch self {
        case .name(let rank): "n\(rank).\(Authority.origin)"
        case .address: "address"
        case .nothing: "nothing"
        }
    }
}
