import AddressPools
import SteeringDNS

/// Two points of presence, A and B, with a prefix each and one policy file; both announce both prefixes. Clients connect to
/// what their resolvers were answered, and arrive where the network takes them.
///
/// A resolver asks the point of presence of its side. Its clients are in many networks, and the routes of some of those
/// lead to the other point of presence, always (mis-catchment). A leak of A's prefix leads more of them there, for this
/// prefix only.
struct TwoSites: Sendable {
    /// The site, as an index.
    enum Site: Int, CaseIterable, Sendable {
        case a, b
        var other: Site { self == .a ? .b : .a }
    }

    /// A pool of the policy, as an index: in the order of their addresses.
    enum Prefix: Int, CaseIterable, Sendable {
        case a, b, spare
    }

    /// How many connections came to a site, for each prefix: all that a site sees.
    struct Counts: Sendable {
        private var numbers = [Int](repeating: 0, count: Site.allCases.count * Prefix.allCases.count)

        subscript(site: Site, prefix: Prefix) -> Int {
            get { numbers[site.rawValue * Prefix.allCases.count + prefix.rawValue] }
            set { numbers[site.rawValue * Prefix.allCases.count + prefix.rawValue] = newValue }
        }

        func total(_ site: Site) -> Int { Prefix.allCases.reduce(0) { $0 + self[site, $1] } }

        /// The share of connections at a site that came to another prefix than its own; nil where none came.
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
    /// The share of A's clients whose route to A's prefix leads to B, and what decides which ones.
    var leak: (share: Double, salt: UInt64)?
    private var generator: FastGenerator

    /// Client networks behind each resolver.
    private static let networks: UInt64 = 1_000

    init(_ parameters: Catchment.Parameters, _ serving: Serving) throws(SimulationError) {
        addresses = try AddressNumbers(of: serving)
        rate = parameters.requestsPerSecond
        baseline = parameters.baseline
        resolvers = Resolvers(
            names: Zipf(count: parameters.names, exponent: 1), count: parameters.resolvers, rate: rate,
            ttl: serving.longestTTL)
        generator = FastGenerator(seed: parameters.seed)
    }

    /// Goes on with other random numbers.
    mutating func reseed(_ seed: UInt64) { generator = FastGenerator(seed: seed) }

    /// Lets connections come, at random, until a time.
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
        // Intervals without memory: what was drawn beyond the end may be drawn anew.
        now = end
        return counts
    }

    /// A connection: where it arrives, and at which prefix.
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

    /// A number from 0 up to 1 that belongs to a network: by which it is one of a share of all.
    private static func fraction(of network: UInt64, _ salt: UInt64) -> Double {
        var generator = FastGenerator(seed: network ^ salt << 32)
        return generator.nextFraction()
    }
}
