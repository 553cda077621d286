import AddressPools

@testable import SteeringDNS

/// example.com, all names of which are one policy's: IPv4 addresses, if it does not refuse them.
func served(
    _ outcome: AddressOutcome = .pool("web", .random, ttl: 60), pool: String = "203.0.113.0/24"
) throws -> ServedData {
    try served(outcome, pools: [("web", pool)])
}

/// The same with these pools, one of which is "web".
func served(
    _ outcome: AddressOutcome = .pool("web", .random, ttl: 60), pools: [(name: String, prefix: String)]
) throws -> ServedData {
    let records = try zone("@ SOA ns1 host 1 2h 1h 2w 300\n@ NS ns1\nns1 A 192.0.2.53\n")
    let policies = AddressPolicies(
        policies: [AddressPolicy(name: "default", outcome: outcome)],
        pools: try pools.map { ($0.name, try PrefixPool($0.prefix)) },
        names: .empty, classes: NameClasses(), listNames: [], site: nil)
    return ServedData(
        zones: Zones([(try DNSName("example.com"), records)]), policies: policies, usesClientSubnet: false,
        files: ServedData.Files())
}

/// A query, with one record behind the question if there is any.
func message(question: [UInt8], additional: [UInt8] = []) -> [UInt8] {
    [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, additional.isEmpty ? 0 : 1] + question + additional
}

/// The name www.example.com, as a question has it.
let www = Array("\u{3}www\u{7}example\u{3}com\0".utf8)

/// A responder, and one client of it.
struct AskedResponder: ~Copyable {
    private let served: ServedData
    private var responder: Responder
    private(set) var counts: AnswerCounts

    init(
        _ options: ResponderOptions = ResponderOptions(), pool: String = "203.0.113.0/24",
        drawingWith generator: FastGenerator = FastGenerator()
    ) throws {
        served = try SteeringDNSTests.served(pool: pool)
        responder = Responder(options, drawingWith: generator)
        counts = served.counts()
    }

    mutating func ask(_ query: [UInt8]) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: Responder.maximumDatagram)
        var span = buffer.mutableSpan
        let size = responder.respond(
            to: query.span, from: IPAddress(ipv4: 0xC000_0201), over: .udp, at: .init(seconds: 0, milliseconds: 0),
            with: served, counting: &counts, into: &span)
        return Array(buffer[..<size])
    }
}
