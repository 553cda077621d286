import Testing

@testable import SteeringDNS

/// Answers that are the same each time, for simulations.
@Suite struct SeededResponderTests {
    /// The last four bytes of answers for www.example.com: addresses.
    private func addresses(_ generator: FastGenerator) throws -> [[UInt8]] {
        var options = ResponderOptions()
        options.limitsResponses = false
        var server = try AskedResponder(options, pool: "198.18.0.0/15", drawingWith: generator)
        let query = message(question: www + [0, 1, 0, 1])
        return (0..<100).map { _ in Array(server.ask(query).suffix(4)) }
    }

    @Test("a responder draws the same addresses from the same seed, and others from another")
    func seeds() throws {
        let first = try addresses(FastGenerator(seed: 1))
        #expect(try addresses(FastGenerator(seed: 1)) == first)
        #expect(try addresses(FastGenerator(seed: 2)) != first)
        #expect(Set(first).count > 90)
        #expect(first.allSatisfy { $0.starts(with: [198, 18]) || $0.starts(with: [198, 19]) })
    }

    @Test("without a seed, two responders draw different addresses")
    func unseeded() throws {
        #expect(try addresses(FastGenerator()) != addresses(FastGenerator()))
    }
}
