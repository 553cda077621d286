import SteeringDNS

/// An application from section 6 of the paper: find which of millions of names at one address is under attack.
///
/// The names are divided into k slices, each with its own address. When the old answers have expired, the attack
/// appears at one of these addresses, and the names of that slice are divided again: for n names, log n / log k rounds
/// leave a single one. If the attack stays at the old address after the names have moved, its target is the address and
/// not a name.
///
/// Addresses of popular names have many legitimate requests, so the criterion is the excess over the expected number.
public struct Search: Sendable {
    /// The parameters of a simulation.
    public struct Parameters: Sendable {
        /// The number of names and of slices.
        public var names: Int, slices: Int
        /// The TTL of answers in seconds, and the attack's share of all requests.
        public var ttl: Int, attack: Double
        /// The legitimate requests per second, the exponent of names' popularity (see ``Zipf``), and the number of
        /// resolvers.
        public var requestsPerSecond = 37_500.0, skew = 1.0, resolvers = 1_000
        /// The time in seconds to count requests once the old answers have expired.
        public var observeSeconds = 10
        /// The number of attacks on names, and of attacks on the address.
        public var trials = 10
        /// The seed of all random numbers.
        public var seed: UInt64 = 1

        /// Creates parameters.
        public init(names: Int, slices: Int, ttl: Int, attack: Double) {
            (self.names, self.slices, self.ttl, self.attack) = (names, slices, ttl, attack)
        }
    }

    private let parameters: Parameters
    let policies: SlicePolicies
    /// The share of legitimate requests of each name, from rank 1.
    private let shares: [Double]

    /// Writes the first policies.
    public init(_ parameters: Parameters) throws {
        guard parameters.names >= 1, (2...SlicePolicies.largestCount).contains(parameters.slices),
            (1...86_400).contains(parameters.ttl), parameters.attack >= 0, parameters.attack < 1,
            parameters.requestsPerSecond > 0, parameters.observeSeconds >= 1, parameters.trials >= 1,
            (1...65_536).contains(parameters.resolvers)
        else {
            throw SimulationError(
                "slices are 2 to \(SlicePolicies.largestCount), the attack's share is below 1, resolvers are 1 to 65536, and the rest is above 0: correct the parameters"
            )
        }
        self.parameters = parameters
        policies = try SlicePolicies(count: parameters.slices, ttl: parameters.ttl)
        shares = Zipf(count: parameters.names, exponent: parameters.skew).probabilities()
    }

    /// Simulates attacks on names of any popularity, then on the address of all names.
    public func run() throws -> SearchReport {
        let first = try slices(of: Array(1...parameters.names), try policies.byHash(), title: "names")
        var random = FastGenerator(seed: parameters.seed)
        // Each order of magnitude of ranks is about equally likely, so both popular and unpopular names are attacked.
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
    /// Suspected names and the slices to which the name server assigns them.
    struct Slices: Sendable {
        let serving: ServedData
        let suspects: [Int]
        /// The number of each suspect's address.
        let addresses: [UInt16]
        /// The expected share of legitimate requests at each address.
        let expected: [Double]

        /// Returns the suspects at an address.
        func suspects(at address: Int) -> [Int] {
            zip(suspects, addresses).compactMap { Int($1) == address ? $0 : nil }
        }
    }

    /// Queries the address of each suspect.
    func slices(of suspects: [Int], _ serving: ServedData, title: String? = nil) throws(SimulationError) -> Slices {
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
        // Names that are not suspected are at an address of their own.
        expected[policies.rest] += max(0, 1 - expected.reduce(0, +))
        return Slices(serving: serving, suspects: suspects, addresses: addresses, expected: expected)
    }

    /// The finding of a search, and the number of suspects at its start and after each round.
    struct Outcome: Sendable {
        enum Finding: Sendable, Equatable {
            case name(Int)
            case address
            /// No address has significantly more requests than expected, or one without suspects has.
            case nothing
        }
        var finding = Finding.nothing
        var left: [Int]
        var rounds: Int { left.count - 1 }
    }

    /// Searches during an attack.
    func search(_ target: Target, _ first: Slices, seed: UInt64) throws -> Outcome {
        var traffic = SearchTraffic(parameters, target, seed: seed)
        var authority = Authority(try policies.beforeSearch(), seed: seed &+ 1)
        _ = try traffic.run(seconds: parameters.ttl, &authority, policies.addresses)
        var outcome = Outcome(left: [parameters.names])
        var slices = first
        while true {
            authority.serving = slices.serving
            // Wait until the old answers have expired.
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

    /// Returns the address with the largest excess of requests over the expected number; `nil` if none is significant.
    func attackedAddress(_ counts: [Int], _ expected: [Double]) -> Int? {
        let usual = parameters.requestsPerSecond * Double(parameters.observeSeconds)
        var most: (address: Int, excess: Double)?
        for (address, count) in counts.enumerated() {
            let excess = Double(count) - expected[address] * usual
            // Six standard deviations; the variance is at least one request.
            let chance = 6 * max(1, expected[address] * usual).squareRoot()
            if excess > max(chance, most?.excess ?? 0) { most = (address, excess) }
        }
        return most?.address
    }
}
