import SteeringDNS
import Testing

@testable import Simulation

/// Searches for the name or the address under attack.
@Suite struct SearchTests {
    private func parameters(
        names: Int = 20_000, slices: Int = 16, attack: Double = 0.2, trials: Int = 4
    ) -> Search.Parameters {
        var parameters = Search.Parameters(names: names, slices: slices, ttl: 5, attack: attack)
        (parameters.requestsPerSecond, parameters.resolvers, parameters.trials) = (2_000, 50, trials)
        return parameters
    }

    @Test(
        "the attacked name is found, in as many rounds as there are powers of the slices in the names",
        arguments: [(20_000, 16, 4), (20_000, 200, 2), (300, 2, 9), (1, 2, 1)])
    func names(names: Int, slices: Int, rounds: Int) throws {
        let report = try Search(parameters(names: names, slices: slices)).run()
        #expect(report.namesFound == 4 && report.addressesFound == 4)
        for search in report.onNames {
            #expect(search.isRight && search.found == search.attacked)
            // The first slices are not of exactly equal size, which can cost one more round.
            #expect(search.rounds <= rounds + 1)
            #expect(search.left.first == names && search.left.last == 1)
            #expect(zip(search.left, search.left.dropFirst()).allSatisfy { $0 >= $1 })
            #expect(search.seconds == search.rounds * 15)
        }
        #expect(report.onAddress.allSatisfy { $0.rounds == 1 })
    }

    @Test("the most popular name and the least popular one are found")
    func extremes() throws {
        let search = try Search(parameters())
        let first = try search.slices(of: Array(1...20_000), try search.policies.byHash())
        for rank in [1, 20_000] {
            let outcome = try search.search(.name(rank), first, seed: 3)
            #expect(outcome.finding == .name(rank))
        }
    }

    @Test("without an attack, nothing is found")
    func noAttack() throws {
        let search = try Search(parameters(attack: 0))
        let first = try search.slices(of: Array(1...20_000), try search.policies.byHash())
        let outcome = try search.search(.name(7), first, seed: 3)
        #expect(outcome.finding == .nothing && outcome.left == [20_000, 0])
    }

    @Test("what decides is the excess over what is expected, not the load")
    func excess() throws {
        let search = try Search(parameters())
        var expected = [Double](repeating: 0.01, count: 18)
        expected[3] = 0.4
        // 20,000 legitimate requests are expected while counting.
        var counts = expected.map { Int($0 * 20_000) }
        #expect(search.attackedAddress(counts, expected) == nil)
        counts[5] += 1_000
        #expect(search.attackedAddress(counts, expected) == 5, "address 3 has eight times as many")
        counts[5] = 200 + 50
        #expect(search.attackedAddress(counts, expected) == nil, "as may be by chance")
        counts[16] = 400
        #expect(search.attackedAddress(counts, expected) == 16, "the address before the search")
    }

    @Test("a hash puts the names of a slice together again; a list parts them evenly, and leaves the others out")
    func lists() throws {
        let search = try Search(parameters())
        let byHash = try search.slices(of: Array(1...20_000), try search.policies.byHash())
        #expect(Set(byHash.addresses) == Set(0..<16))
        let suspects = byHash.suspects(at: 5)
        let again = try search.slices(of: suspects, try search.policies.byHash())
        #expect(Set(again.addresses) == [5])
        let byList = try search.slices(of: suspects, try search.policies.byList(suspects))
        let sizes = (0..<16).map { byList.suspects(at: $0).count }
        #expect(sizes.reduce(0, +) == suspects.count && sizes.max()! - sizes.min()! <= 1)
        let other = try #require((1...20_000).first { !suspects.contains($0) })
        var authority = Authority(byList.serving, seed: 1)
        let address = try authority.address(ofName: other, for: 0).address
        #expect(search.policies.addresses[address] == search.policies.rest)
    }

    @Test("what is expected is the popularity of the names at each address, and all of it")
    func expected() throws {
        let search = try Search(parameters(names: 500, slices: 4))
        let shares = Zipf(count: 500, exponent: 1).probabilities()
        let slices = try search.slices(of: [2, 30, 77], try search.policies.byList([2, 30, 77]))
        #expect(abs(slices.expected.reduce(0, +) - 1) < 1e-9)
        #expect(slices.expected[0] == shares[1] && slices.expected[1] == shares[29] && slices.expected[2] == shares[76])
        #expect(slices.expected[3] == 0 && slices.expected[search.policies.before] == 0)
    }
}
