import AddressPools
import SteeringDNS

/// Two points of presence, A and B, with a prefix each and a common policy file.
///
/// Both announce both prefixes. Clients connect to the addresses that their resolvers get, and the network decides at
/// which site they arrive.
///
/// A resolver queries the site on its side. Its clients are in many networks, some of which are always routed to the
/// other site (mis-catchment). A leak of A's prefix routes more of them there, for this prefix only.
struct TwoSites: Sendable {
    /// A site; the raw value is its index.
    enum Site: Int, CaseIterable, Sendable {
        case a, b
        var other: Site { self == .a ? .b : .a }
    }

    /// A pool of the policy; the raw value is its index in the order of addresses.
    enum Prefix: Int, CaseIterable, Sendable {
        case a, b, spare
    }

    /// The number of connections at each site to each prefix.
    ///
    /// A site has no other information.
    struct Counts: Sendable {
        private var numbers = [Int](repeating: 0, count: Site.allCases.count * Prefix.allCases.count)

        subscript(site: Site, prefix: Prefix) -> Int {
            get { numbers[site.rawValue * Prefix.allCases.count + prefix.rawValue] }
            set { numbers[site.rawValue * Prefix.allCases.count + prefix.rawValue] = newValue }
        }

        func total(_ site: Site) -> Int { Prefix.allCases.reduce(0) { $0 + self[site, $1] } }

        /// Returns the share of a site's connections that are not to its own prefix; `nil` if there are no connections.
        func foreignShare(_ site: Site) -> Double? {
            let total = total(site)
            guard total > 0 else { return nil }
            return 1 - Double(self[site, site == .a ? .a : .b]) / Double(total)
        }

        mutating func add(_ other: Counts) {
            for index in numbers.indices { numbers[index] += other.numbers[index] }
        }
    }

    /// The servers of both sites.
    struct Servers: ~Copyable {
        var a: Authority, b: Authority
    }

    private var resolvers: Resolvers
    private let addresses: AddressNumbers
    private let rate: Double, baseline: Double
    /// The time in seconds, and that of the last connection to A's prefix.
    private(set) var now = 0.0, lastToA = 0.0
    /// The share of A's clients whose route to A's prefix leads to B, and the salt that selects them.
    var leak: (share: Double, salt: UInt64)?
    private var generator: FastGenerator

    /// The number of client networks behind each resolver.
    private static let networks: UInt64 = 1_000

    init(_ parameters: Catchment.Parameters, _ serving: ServedData) throws(SimulationError) {
        addresses = try AddressNumbers(of: serving)
        rate = parameters.requestsPerSecond
        baseline = parameters.baseline
        resolvers = Resolvers(
            names: Zipf(count: parameters.names, exponent: 1), count: parameters.resolvers, rate: rate,
            ttl: serving.longestTTL)
        generator = FastGenerator(seed: parameters.seed)
    }

    /// Continues with a new seed.
    mutating func reseed(_ seed: UInt64) { generator = FastGenerator(seed: seed) }

    /// Simulates connections at random times until `end`.
    mutating func run(until end: Double, _ servers: inout Servers) throws(SimulationError) -> Counts {
        var counts = Counts()
        while true {
            let next = now + generator.nextInterval() / rate
            guard next < end else { break }
            now = next
            let (site, prefix) = try connect(&servers)
            counts[site, prefix] += 1
            if prefix == .a { lastToA = now }
        }
        // Intervals are memoryless, so the one that passed the end can be drawn again.
        now = end
        return counts
    }

    /// Simulates one connection, and returns the site at which it arrives and its destination prefix.
    private mutating func connect(_ servers: inout Servers) throws(SimulationError) -> (Site, Prefix) {
        let resolver = resolvers.next(using: &generator)
        let rank = resolvers.names.next(using: &generator)
        let time = UInt64(now * Double(microseconds))
        let home = resolver & 1 == 0 ? Site.a : .b
        let address =
            if home == .a {
                try resolvers.address(ofName: rank, by: resolver, now: time, from: &servers.a, addresses)
            } else {
                try resolvers.address(ofName: rank, by: resolver, now: time, from: &servers.b, addresses)
            }
        let prefix = Prefix(rawValue: address >> 8)!
        let network = UInt64(resolver) * Self.networks + generator.next() % Self.networks
        if Self.fraction(of: network, 0) < baseline { return (home.other, prefix) }
        if let leak, home == .a, prefix == .a, Self.fraction(of: network, leak.salt) < leak.share {
            return (.b, prefix)
        }
        return (home, prefix)
    }

    /// Returns a hash of a network in 0..<1.
    ///
    /// Comparing it with a share selects that share of all networks.
    private static func fraction(of network: UInt64, _ salt: UInt64) -> Double {
        var generator = FastGenerator(seed: network ^ salt << 32)
        return generator.nextFraction()
    }
}
