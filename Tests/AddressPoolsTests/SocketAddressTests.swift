import AddressPools
import Testing

@Suite struct SocketAddressTests {
    @Test(
        "a socket address prints in its canonical form",
        arguments: [
            ("192.0.2.1:80", "192.0.2.1:80"), ("0.0.0.0:0", "0.0.0.0:0"), ("[::]:65535", "[::]:65535"),
            ("[2001:DB8:0::1]:80", "[2001:db8::1]:80"), ("[::ffff:192.0.2.1]:80", "[::ffff:192.0.2.1]:80"),
            ("[1111:2222:3333:4444:5555:6666:255.255.255.255]:1", "[1111:2222:3333:4444:5555:6666:ffff:ffff]:1"),
        ])
    func canonical(text: String, expected: String) throws {
        let address = try SocketAddress(text)
        #expect(address.description == expected)
        #expect(try SocketAddress(expected) == address)
    }

    @Test(
        "a text that is not exactly an address and a port is refused with the code that says why",
        arguments: [
            ("", AddressError.Code.invalidSocketAddress), (":", .invalidSocketAddress), (":80", .invalidSocketAddress),
            ("192.0.2.1", .invalidSocketAddress), ("[::1]", .invalidSocketAddress), ("::1", .invalidSocketAddress),
            ("2001:db8::1:80", .invalidSocketAddress), ("[192.0.2.1]:80", .invalidSocketAddress),
            ("[::1:80", .invalidSocketAddress),
            ("::1]:80", .invalidSocketAddress), ("[]:80", .invalidSocketAddress), ("[::1]80", .invalidSocketAddress),
            ("[::1] :80", .invalidSocketAddress), ("[[::1]]:80", .invalidSocketAddress),
            ("[fe80::1%eth0]:80", .invalidSocketAddress),
            ("192.0.2.1:80:80", .invalidSocketAddress), ("localhost:80", .invalidSocketAddress),
            ("192.0.2.1:all:", .invalidSocketAddress),
            (" 192.0.2.1:80", .invalidSocketAddress),
            ("192.0.2.1:", .invalidPort), ("192.0.2.1:65536", .invalidPort), ("192.0.2.1:080", .invalidPort),
            ("192.0.2.1:+80", .invalidPort),
            ("192.0.2.1: 80", .invalidPort), ("192.0.2.1:80 ", .invalidPort), ("192.0.2.1:http", .invalidPort),
            ("[::1]:-1", .invalidPort),
            ("[::1]::80", .invalidPort), ("[::1]:", .invalidPort), ("192.0.2.1:80-81", .invalidPort),
        ])
    func refused(text: String, expected: AddressError.Code) {
        #expect(code { try SocketAddress(text) } == expected)
    }

    @Test("the refusal of a bare IPv6 address names the brackets") func brackets() {
        #expect(message { try SocketAddress("2001:db8::1:80") }.contains("is written in brackets"))
    }

    @Test("random socket addresses survive a round trip", arguments: IPFamily.allCases)
    func roundTrip(family: IPFamily) throws {
        var generator = SplitMix64(seed: 8)
        for _ in 0..<5_000 {
            let address = SocketAddress(
                randomAddress(family, using: &generator), port: UInt16.random(in: 0...65535, using: &generator))
            #expect(try SocketAddress(address.description) == address)
        }
    }

    @Test("socket addresses sort by address, then by port") func order() throws {
        let sorted = try ["9.0.0.0:9", "10.0.0.0:0", "10.0.0.0:80", "[::]:1", "[::1]:0"].map { try SocketAddress($0) }
        #expect(sorted.reversed().sorted() == sorted)
    }
}
