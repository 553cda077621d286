import SteeringDNS

/// The target of an attack.
enum Target: Sendable {
    /// A name, by rank: the attack follows the name to its address.
    case name(Int)
    /// An address, by number: the attack stays there, regardless of names.
    case address(Int)
}

/// The requests of clients and of an attack.
struct SearchTraffic: Sendable {
    private var resolvers: Resolvers
    private var generator: FastGenerator
    private let target: Target
    /// The requests per second, and the attack's share of them.
    private let rate: Double, attack: Double
    private var came = 0

    init(_ parameters: Search.Parameters, _ target: Target, seed: UInt64) {
        rate = parameters.requestsPerSecond / (1 - parameters.attack)
        attack = parameters.attack
        self.target = target
        resolvers = Resolvers(
            names: Zipf(count: parameters.names, exponent: parameters.skew), count: parameters.resolvers, rate: rate,
            ttl: UInt32(parameters.ttl))
        generator = FastGenerator(seed: seed)
    }

    /// Simulates requests for some seconds.
    ///
    /// - Returns: The number of requests to each address, by its number.
    mutating func run(
        seconds: Int, _ authority: inout Authority, _ addresses: AddressNumbers
    ) throws(SimulationError) -> [Int] {
        var counts = [Int](repeating: 0, count: addresses.count)
        let end = came + Int(Double(seconds) * rate)
        while came < end {
            let now = UInt64(Double(came) / rate * Double(microseconds))
            came += 1
            var rank = 0
            if generator.nextFraction() < attack {
                switch target {
                case .name(let attacked): rank = attacked
                case .address(let number):
                    counts[number] += 1
                    continue
                }
            } else {
                rank = resolvers.names.next(using: &generator)
            }
            // Attackers use resolvers like all clients.
            let resolver = resolvers.next(using: &generator)
            counts[try resolvers.address(ofName: rank, by: resolver, now: now, from: &authority, addresses)] += 1
        }
        return counts
    }
}
