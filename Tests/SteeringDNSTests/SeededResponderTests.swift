import AddressPools
import Testing

@testable import SteeringDNS

/// Answers that are the same each time, for simulations.
@Suite struct SeededResponderTests {
    private let serving = Serving(
        zones: Zones([
            (
                origin: try! DNSName("example.com"),
                records: try! ZoneFile(
                    Array("@ 60 SOA ns1 hostmaster 1 2 3 4 5\n@ 60 NS ns1\nns1 60 A 192.0.2.53\n".utf8), named: "zone",
                    origin: try! DNSName("example.com")
                ).records
            )
        ]),
        policies: AddressPolicies(
            policies: [AddressPolicy(name: "default", outcome: .pool("web", .random, ttl: 60))],
            pools: [("web", try! PrefixPool("198.18.0.0/15"))], names: .empty, classes: NameClasses(), listNames: [],
            site: nil),
        usesClientSubnet: false, files: Serving.Files())

    /// The last four bytes of answers for www.example.com: addresses.
    private func addresses(_ generator: FastGenerator) throws -> [[UInt8]] {
        var options = ResponderOptions()
        options.limitsResponses = false
        var responder = Responder(options, drawingWith: generator)
        var counts = serving.counts()
        var buffer = [UInt8](repeating: 0, count: Responder.maximumDatagram)
        let name = try DNSName("www.example.com").wire
        let query: [UInt8] = [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0] + name + [0, 1, 0, 1]
        return (0..<100).map { _ in
            var span = buffer.mutableSpan
            let size = responder.respond(
                to: query.span, from: IPAddress(ipv4: 1), over: .udp, at: .init(seconds: 0, milliseconds: 0),
                with: serving, counting: &counts, into: &span)
            return Array(buffer[(size - 4)..<size])
        }
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
