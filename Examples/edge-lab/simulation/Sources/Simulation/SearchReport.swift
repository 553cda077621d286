/// What came of searches for what is attacked.
public struct SearchReport: Sendable, Encodable {
    /// An attack on a name.
    public struct OnName: Sendable, Encodable {
        /// The name, what was found, and whether that is it.
        public let attacked: String, found: String, isRight: Bool
        /// How many rounds it took, and how many seconds.
        public let rounds: Int, seconds: Int
        /// How many names were suspected at the begin, and after each round.
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

    /// An attack on the address that all names had.
    public struct OnAddress: Sendable, Encodable {
        /// What was found, and whether that is it.
        public let found: String, isRight: Bool
        /// How many rounds it took, and how many seconds.
        public let rounds: Int, seconds: Int

        init(_ outcome: Search.Outcome, _ parameters: Search.Parameters) {
            found = outcome.finding.text
            isRight = outcome.finding == .address
            rounds = outcome.rounds
            seconds = outcome.rounds * parameters.secondsPerRound
        }
    }

    /// What was simulated.
    public let names: Int, slices: Int, ttl: Int, attack: Double, requestsPerSecond: Double, resolvers: Int
    /// What all that was random followed from.
    public let seed: UInt64
    /// The rounds that it takes: the least number of times that the names can be divided by the slices until one is left.
    public let roundsExpected: Int
    /// A round: until the old answers have expired, and then a while that is counted.
    public let secondsPerRound: Int
    /// The searches, how many found what was attacked, and the most rounds that one took.
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
