import AddressPools
import Testing

@Suite struct IPAddressTests {
    @Test(
        "an address in any accepted form prints in its canonical form",
        arguments: [
            ("0.0.0.0", "0.0.0.0"),
            ("255.255.255.255", "255.255.255.255"),
            ("192.0.2.1", "192.0.2.1"),
            ("10.100.99.9", "10.100.99.9"),
            // RFC 4291, section 2.2.
            ("ABCD:EF01:2345:6789:ABCD:EF01:2345:6789", "abcd:ef01:2345:6789:abcd:ef01:2345:6789"),
            ("2001:DB8:0:0:8:800:200C:417A", "2001:db8::8:800:200c:417a"),
            ("FF01:0:0:0:0:0:0:101", "ff01::101"),
            ("0:0:0:0:0:0:0:1", "::1"),
            ("0:0:0:0:0:0:0:0", "::"),
            ("::", "::"),
            ("0:0:0:0:0:0:13.1.68.3", "::d01:4403"),
            ("::FFFF:129.144.52.38", "::ffff:129.144.52.38"),
            // RFC 5952, section 4.1: no leading zeros.
            ("2001:0db8::0001", "2001:db8::1"),
            ("2001:db8:aaaa:bbbb:cccc:dddd:eeee:0001", "2001:db8:aaaa:bbbb:cccc:dddd:eeee:1"),
            // Section 4.2.1: shorten as much as possible.
            ("2001:db8:0:0:0:0:2:1", "2001:db8::2:1"),
            ("2001:db8::0:1", "2001:db8::1"),
            // Section 4.2.2: one group alone is not shortened.
            ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
            ("2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
            // Section 4.2.3: the longest run, and the first of two.
            ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),
            ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
            // Section 4.3: lower case.
            ("2001:DB8::AbCd", "2001:db8::abcd"),
            // Section 5: an address with a known IPv4 part.
            ("0:0:0:0:0:ffff:192.0.2.1", "::ffff:192.0.2.1"),
            ("::ffff:c000:0201", "::ffff:192.0.2.1"),
            ("::ffff:0:0", "::ffff:0.0.0.0"),
            ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"),
            ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
            ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
            ("1::8", "1::8"),
            ("1::", "1::"),
            ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"),
            ("1:2:3:4:5::1.2.3.4", "1:2:3:4:5:0:102:304"),
            ("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ])
    func canonical(text: String, expected: String) throws {
        let address = try IPAddress(text)
        #expect(address.description == expected)
        #expect(try IPAddress(expected) == address)
    }

    @Test(
        "a text that is not exactly one address is refused",
        arguments: [
            "", " ", "1", "1.2.3", "1.2.3.4.5", "1.2.3.", ".1.2.3", "1..2.3", "1.2.3.4.", "256.1.1.1", "1.2.3.999",
            "01.2.3.4", "1.2.3.00", "0x1.2.3.4", "1.2.3.4 ", " 1.2.3.4", "+1.2.3.4", "-1.2.3.4", "1.2.3.4/32",
            "1.2.3.a",
            "1,2,3,4", "3221225985", "1.2.3.0000000000000000000004", ":", ":::", "::1::", "1::2::3", ":1", "1:",
            ":1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8:", "1:2:3:4:5:6:7::8", "1:2:3:4:5:6:7:8::",
            "::1:2:3:4:5:6:7:8", "12345::", "00001::", "g::", "::g", "1:::2", "::1 ", " ::1", "[::1]", "::1]",
            "::1/128",
            "1:2:3:4:5:6:7:1.2.3.4", "1:2:3:4:5:6:1.2.3", "::1.2.3.4:5", "1.2.3.4::", "::01.2.3.4", "::256.2.3.4",
            "::.1.2.3", "::1.2.3.4.5", "::1.2.3.", "::ffff:1.2.3.4 ", "::1.2.3.4::", "::-1", "::+1", "::0x1",
            "1:2:3:4:5:6::1.2.3.4", "fe80::1%eth0", "fe80::1%", "%", "2001:db8::1\n", "localhost",
        ])
    func refused(text: String) {
        #expect(code { try IPAddress(text) } == .invalidAddress)
    }

    @Test(
        "the refusal of a zone says that zones are not supported",
        arguments: ["fe80::1%eth0", "fe80::1%25eth0", "1.2.3.4%1"])
    func zone(text: String) {
        #expect(message { try IPAddress(text) }.contains("zones (the part from % on) are not supported"))
    }

    @Test("a substring is read without what stands around it") func substring() throws {
        #expect(try IPAddress("at 192.0.2.1 now".dropFirst(3).dropLast(4)) == IPAddress(ipv4: 0xC000_0201))
    }

    @Test("numbers, bytes and text agree") func representations() throws {
        let four = IPAddress(ipv4: 0xC000_0201)
        #expect(four.description == "192.0.2.1")
        #expect(four.bytes == [192, 0, 2, 1])
        #expect(four.bits == 0xC000_0201)
        #expect(IPAddress(bytes: [192, 0, 2, 1]) == four)

        let six = IPAddress(ipv6: 0x2001_0DB8 << 96 | 1)
        #expect(six.description == "2001:db8::1")
        #expect(six.bytes == [0x20, 1, 0x0D, 0xB8] + [UInt8](repeating: 0, count: 11) + [1])
        #expect(IPAddress(bytes: six.bytes) == six)

        for count in 0...17 where count != 4 && count != 16 {
            #expect(IPAddress(bytes: [UInt8](repeating: 1, count: count)) == nil)
        }
    }

    @Test("random addresses survive a round trip through text and bytes", arguments: IPFamily.allCases)
    func roundTrip(family: IPFamily) throws {
        var generator = SplitMix64(seed: 1)
        for _ in 0..<20_000 {
            let address = randomAddress(family, using: &generator)
            #expect(try IPAddress(address.description) == address)
            #expect(IPAddress(bytes: address.bytes) == address)
        }
    }

    @Test("addresses sort by family, then by value") func order() throws {
        let sorted = try ["0.0.0.0", "9.0.0.0", "10.0.0.0", "255.255.255.255", "::", "::1", "8000::", "ffff::"].map {
            try IPAddress($0)
        }
        #expect(sorted.reversed().sorted() == sorted)
        #expect(IPAddress(ipv4: 1) != IPAddress(ipv6: 1))
    }

    @Test("an IPv4-mapped address is told apart and unmapped") func mapped() throws {
        let mapped = try IPAddress("::ffff:192.0.2.1")
        #expect(mapped.isIPv4Mapped)
        #expect(try mapped.unmapped == IPAddress("192.0.2.1"))
        for text in ["192.0.2.1", "::192.0.2.1", "::fffe:192.0.2.1", "1::ffff:192.0.2.1", "0.0.255.255"] {
            let other = try IPAddress(text)
            #expect(!other.isIPv4Mapped)
            #expect(other.unmapped == other)
        }
    }

    @Test("families know their names and widths") func families() {
        #expect(IPFamily.allCases.map(\.description) == ["IPv4", "IPv6"])
        #expect(IPFamily.allCases.map(\.bitWidth) == [32, 128])
    }
}
