import AddressPools
import SteeringDNS
import Testing

@testable import Simulation

/// Requests per address.
@Suite struct LoadTests {
    private func parameters(requests: Int, threads: Int = 2, seed: UInt64 = 1) -> Load.Parameters {
        var parameters = Load.Parameters(names: 10_000, requests: requests, rate: 1_000)
        (parameters.resolvers, parameters.threads, parameters.seed) = (100, threads, seed)
        return parameters
    }

    @Test("every request is counted at an address of the pool, and every address is listed")
    func all() async throws {
        let load = try Load(try serving(pool: "198.18.0.0/24, 192.0.2.8/30"), parameters(requests: 100_003))
        let (report, counts) = try await load.run()
        #expect(counts.count == 260)
        #expect(counts.map(\.address) == counts.map(\.address).sorted())
        #expect(counts.reduce(0) { $0 + $1.count } == 100_003)
        #expect((report.requests, report.addresses, report.ttl) == (100_003, 260, 60))
        #expect(report.secondsSimulated == 100.003)
        #expect(abs(report.cacheHitShare - (1 - Double(report.queries) / 100_003)) < 1e-12)
        #expect(report.queries > 0 && report.queries < 100_003)
    }

    @Test("without resolvers' memory, random answers spread requests evenly over the addresses")
    func even() async throws {
        let load = try Load(try serving(pool: "198.18.0.0/24", ttl: 0), parameters(requests: 500_000))
        let (report, counts) = try await load.run()
        #expect(report.queries == 500_000)
        #expect(fits(counts.map(\.count), [Double](repeating: 1.0 / 256, count: 256)))
    }

    @Test(
        "names that are bound to addresses have the load of their names, and memory changes nothing",
        arguments: [0, 60])
    func bound(ttl: Int) async throws {
        let serving = try serving(pool: "198.18.0.0/26", select: "name", ttl: ttl)
        let (_, counts) = try await Load(serving, parameters(requests: 500_000)).run()
        var authority = Authority(serving, seed: 0)
        let addresses = try AddressNumbers(of: serving)
        var shares = [Double](repeating: 0, count: 64)
        for (index, probability) in Zipf(count: 10_000, exponent: 1).probabilities().enumerated() {
            shares[addresses[try authority.address(ofName: index + 1, for: 0).address]] += probability
        }
        #expect(fits(counts.map(\.count), shares))
        #expect(!fits(counts.map(\.count), [Double](repeating: 1.0 / 64, count: 64)))
    }

    @Test("the result depends on the seed, and not on the number of threads")
    func threads() async throws {
        let serving = try serving(pool: "198.18.0.0/24")
        let one = try await Load(serving, parameters(requests: 50_000, threads: 1)).run()
        let three = try await Load(serving, parameters(requests: 50_000, threads: 3)).run()
        let other = try await Load(serving, parameters(requests: 50_000, seed: 2)).run()
        #expect(one.requestsByAddress.map(\.count) == three.requestsByAddress.map(\.count))
        #expect(one.report.queries == three.report.queries)
        #expect(one.requestsByAddress.map(\.count) != other.requestsByAddress.map(\.count))
    }

    @Test("groups have each resolver once, and all requests", arguments: [1, 7, 32, 1_000, 65_536])
    func groups(resolvers: Int) throws {
        var parameters = parameters(requests: 1_000_003)
        parameters.resolvers = resolvers
        let groups = try Load(try serving(pool: "198.18.0.0/24"), parameters).groups()
        #expect(groups.flatMap(\.numbers).sorted() == Array(0..<resolvers))
        #expect(groups.reduce(0) { $0 + $1.requests } == 1_000_003)
        for group in groups {
            #expect(abs(group.weights.reduce(0, +) - group.share) < 1e-9)
            #expect(abs(Double(group.requests) - group.share * 1_000_003) <= 2)
        }
    }

    @Test("a policy that gives the names no address is refused with the remedy")
    func noAddress() async throws {
        let serving = try PolicyFolder().serving(
            """
            pools: { web: 198.18.0.0/24 }
            names:
              zones: [example.com.zone]
              policies: [{ name: default, outcome: pass }]
            """)
        let load = try Load(serving, parameters(requests: 10))
        await #expect(throws: SimulationError.self) { _ = try await load.run() }
    }

    @Test("pools without IPv4 are refused")
    func noIPv4() throws {
        let serving = try serving(pool: "\"2001:db8::/64\"")
        #expect(throws: SimulationError.self) { try Load(serving, parameters(requests: 10)) }
    }
}
