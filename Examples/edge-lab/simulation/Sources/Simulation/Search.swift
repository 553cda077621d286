import SteeringDNS

/// A use of section 6 of the paper: which of millions of names at one address is under attack? The names are parted into
/// k slices with an address each. When the old answers have expired, the attack shows at one of the addresses, and the
/// names of that slice are parted again: of n names the one is left after log n / log k rounds. If the attack has stayed
/// where it was when the names had left, it was on the address and not on a name.
///
/// Legitimate requests are many at the addresses of popular names, so what counts is not where most come, but where more
/// come than usually.
public struct Search: Sendable {
    /// What is simulated.
    public struct Parameters: Sendable {
        /// How many names there are, and into how many slices they are parted.
        public var names: Int, slices: Int
        /// For how long answers are remembered, and the attack's share of all requests.
        public var ttl: Int, attack: Double
        /// Legitimate requests a second, how popular names are (see ``Zipf``), and how many resolvers there are.
        public var requestsPerSecond = 37_500.0, skew = 1.0, resolvers = 1_000
        /// How long is counted once the old answers have expired.
        public var observeSeconds = 10
        /// How many attacks there are on names, and as many on addresses.
        public var trials = 10
        /// What all that is random follows from.
        public var seed: UInt64 = 1

        /// Makes parameters.
        public init(names: Int, slices: Int, ttl: Int, attack: Double) {
            (self.names, self.slices, self.ttl, self.attack) = (names, slices, ttl, attack)
        }
    }

    private let parameters: Parameters
    let policies: SlicePolicies
    /// The share of the legitimate requests that each name has, from rank 1 on.
    private let shares: [Double]

    /// Writes the first policies.
    public init(_ parameters: Parameters) throws {
        guard parameters.names >= 1, (2...SlicePolicies.largestCount).contains(parameters.slices),
            (1...86_400).contains(parameters.ttl), parameters.attack >= 0, parameters.attack < 1,
            parameters.requestsPerSecond > 0, parameters.observeSeconds >= 1, parameters.trials >= 1,
            (1...65_536).contains(parameters.resolvers)
        else {
            throw SimulationError(
                "slices are 2 to \(SlicePolicies.largestCount), the attack's share is below 1, resolvers are 1 to 65536, and the rest is above 0: mend the parameters"
            )
        }
        self.parameters = parameters
        policies = try SlicePolicies(count: parameters.slices, ttl: parameters.ttl)
        shares = Zipf(count: parameters.names, exponent: parameters.skew).probabilities()
    }

    /// Simulates attacks on names of any popularity, then on the address that all names have.
    public func run() throws -> SearchReport {
        let first = try slices(of: Array(1...parameters.names), try policies.byHash(), title: "names")
        var random = FastGenerator(seed: parameters.seed)
        // Each order of magnitude of the ranks is as likely: popular names are attacked, and others.
        let ranks = Zipf(count: parameters.names, exponent: 1)
        let progress = Progress("attacks", of: 2 * parameters.trials)
        defer { progress.end() }
        var onNames: [SearchReport.OnName] = [], onAddress: [SearchReport.OnAddress] = []
        for _ in 0..<parameters.trials {
            let rank = ranks.next(using: &random)
            let outcome = try search(.name(rank), first, seed: random.next())
            onNames.append(SearchReport.OnName(attacked: rank, outcome, parameters))
            progress.add(1)
        }
        for _ in 0..<parameters.trials {
            let outcome = try search(.address(policies.before), first, seed: random.next())
            onAddress.append(SearchReport.OnAddress(outcome, parameters))
            progress.add(1)
        }
        return SearchReport(parameters, onNames, onAddress)
    }

}

// MARK: - Rounds

extension Search {
    /// Suspected names in slices, as the name server answers for them.
    struct Slices: Sendable {
        let serving: Serving
        let suspects: [Int]
        /// The number of each suspect's address.
        let addresses: [UInt16]
        /// The share of the legitimate requests that is expected at each address.
        let expected: [Double]

        /// The suspects at an address.
        func suspects(at address: Int) -> [Int] {
            zip(suspects, addresses).compactMap { Int($1) == address ? $0 : nil }
        }
    }

    /// Asks for the address of each suspect.
    func slices(of suspects: [Int], _ serving: Serving, title: String? = nil) throws(SimulationError) -> Slices {
        let progress = title.map { Progress($0, of: suspects.count) }
        defer { progress?.end() }
        var authority = Authority(serving, seed: parameters.seed)
        var addresses = [UInt16](repeating: 0, count: suspects.count)
        var expected = [Double](repeating: 0, count: policies.addresses.count)
        for (index, rank) in suspects.enumerated() {
            let address = policies.addresses[try authority.address(ofName: rank, for: 0).address]
            addresses[index] = UInt16(address)
            expected[address] += shares[rank - 1]
            if index & 0xF_FFFF == 0xF_FFFF { progress?.add(1 << 20) }
        }
        // Who is not suspected is elsewhere.
        expected[policies.rest] += max(0, 1 - expected.reduce(0, +))
        return Slices(serving: serving, suspects: suspects, addresses: addresses, expected: expected)
    }

    /// What a search found, and how many suspects there were at its begin and after each round.
    struct Outcome: Sendable {
        enum Finding: Sendable, Equatable {
            case name(Int)
            case address
            /// No address has more requests than expected, or one that no suspect has.
            case nothing
        }
        var finding = Finding.nothing
        var left: [Int]
        var rounds: Int { left.count - 1 }
    }

    /// Searches, while the attack goes on.
    func search(_ target: Target, _ first: Slices, seed: UInt64) throws -> Outcome {
        var traffic = SearchTraffic(parameters, target, seed: seed)
        var authority = Authority(try policies.beforeSearch(), seed: seed &+ 1)
        _ = try traffic.run(seconds: parameters.ttl, &authority, policies.addresses)
        var outcome = Outcome(left: [parameters.names])
        var slices = first
        while true {
            authority.serving = slices.serving
            // Until the old answers have expired.
            _ = try traffic.run(seconds: parameters.ttl, &authority, policies.addresses)
            let counts = try traffic.run(seconds: parameters.observeSeconds, &authority, policies.addresses)
            let attacked = attackedAddress(counts, slices.expected)
            if attacked == policies.before {
                outcome.left.append(slices.suspects.count)
                outcome.finding = .address
                return outcome
            }
            let suspects = attacked.map(slices.suspects(at:)) ?? []
            outcome.left.append(suspects.count)
            if suspects.count <= 1 {
                outcome.finding = suspects.first.map { .name($0) } ?? .nothing
                return outcome
            }
            slices = try self.slices(of: suspects, try policies.byList(suspects))
        }
    }

    /// The address with the most requests beyond those that are expected there; nil where all that could be chance.
    func attackedAddress(_ counts: [Int], _ expected: [Double]) -> Int? {
        let usual = parameters.requestsPerSecond * Double(parameters.observeSeconds)
        var most: (address: Int, excess: Double)?
        for (address, count) in counts.enumerated() {
            let excess = Double(count) - expected[address] * usual
            // Six standard deviations, of at least one request.
            let chance = 6 * max(1, expected[address] * usual).squareRoot()
            if excess > max(chance, most?.excess ?? 0) { most = (address, excess) }
        }
        return most?.address
    }
}
