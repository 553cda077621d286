import AddressPools
import Testing

@Suite struct IPPrefixTests {
    @Test(
        "a prefix prints as it was read, with its address in canonical form",
        arguments: [
            ("192.0.2.0/24", "192.0.2.0/24"), ("0.0.0.0/0", "0.0.0.0/0"), ("192.0.2.1/32", "192.0.2.1/32"),
            ("128.0.0.0/1", "128.0.0.0/1"), ("::/0", "::/0"), ("2001:DB8:0::/32", "2001:db8::/32"),
            ("::1/128", "::1/128"),
            ("::ffff:192.0.2.0/120", "::ffff:192.0.2.0/120"), ("8000::/1", "8000::/1"),
        ])
    func canonical(text: String, expected: String) throws {
        let prefix = try IPPrefix(text)
        #expect(prefix.description == expected)
        #expect(try IPPrefix(prefix.address, length: prefix.length) == prefix)
    }

    @Test(
        "a text that is not exactly one prefix is refused with the code that says why",
        arguments: [
            ("", AddressError.Code.invalidPrefix), ("/", .invalidPrefix), ("/24", .invalidPrefix),
            ("x/24", .invalidPrefix),
            ("192.0.2/24", .invalidPrefix), ("192.0.2.0 /24", .invalidPrefix), ("fe80::%1/64", .invalidPrefix),
            ("[::]/0", .invalidPrefix), ("192.0.2.1", .missingPrefixLength), ("::1", .missingPrefixLength),
            ("192.0.2.0/", .invalidPrefixLength), ("192.0.2.0/33", .invalidPrefixLength),
            ("::/129", .invalidPrefixLength),
            ("192.0.2.0/024", .invalidPrefixLength), ("192.0.2.0/+24", .invalidPrefixLength),
            ("::/00", .invalidPrefixLength),
            ("192.0.2.0/-1", .invalidPrefixLength), ("192.0.2.0/ 24", .invalidPrefixLength),
            ("::/ 0", .invalidPrefixLength),
            ("192.0.2.0/24 ", .invalidPrefixLength), ("192.0.2.0/24/24", .invalidPrefixLength),
            ("::/1a", .invalidPrefixLength),
            ("192.0.2.0/255.255.255.0", .invalidPrefixLength), ("::/99999999999999999999", .invalidPrefixLength),
            ("192.0.2.1/24", .hostBitsSet), ("2001:db8::1/64", .hostBitsSet), ("0.0.0.1/0", .hostBitsSet),
            ("::1/127", .hostBitsSet),
        ])
    func refused(text: String, expected: AddressError.Code) {
        #expect(code { try IPPrefix(text) } == expected)
    }

    @Test("a refusal suggests what to write") func suggestions() {
        #expect(message { try IPPrefix("192.0.2.1/24") }.contains("192.0.2.0/24"))
        #expect(message { try IPPrefix("192.0.2.1") }.contains("192.0.2.1/32"))
        #expect(message { try IPPrefix("2001:db8::1") }.contains("2001:db8::1/128"))
        #expect(message { try IPPrefix("10.0.0.0/33") }.contains("0 to 32"))
    }

    @Test("a length out of range is refused", arguments: [-1, 33, Int.max, Int.min])
    func lengthOutOfRange(length: Int) {
        #expect(code { try IPPrefix(IPAddress(ipv4: 0), length: length) } == .invalidPrefixLength)
    }

    @Test("bounds, mask and count of every length are right", arguments: IPFamily.allCases)
    func arithmetic(family: IPFamily) throws {
        var generator = SplitMix64(seed: 5)
        for length in 0...family.bitWidth {
            let inside = randomAddress(family, using: &generator)
            let prefix = IPPrefix(masking: inside, length: length)
            #expect(prefix.contains(inside))
            #expect(prefix.contains(prefix.first) && prefix.contains(prefix.last))
            #expect(prefix.first == prefix.address && prefix.first <= inside && inside <= prefix.last)
            #expect(prefix.mask.bits.nonzeroBitCount == length)
            #expect(inside.bits & prefix.mask.bits == prefix.address.bits)
            if length > 0 || family == .ipv4 {
                let count: UInt128 = 1 << (family.bitWidth - length)
                #expect(prefix.count == count)
                #expect(prefix.last.bits - prefix.first.bits == prefix.count - 1)
            }
            #expect(try IPPrefix(prefix.description) == prefix)

            if length > 0 {
                let parent = try #require(prefix.parent)
                let halves = try #require(parent.halves)
                #expect(halves.0 == prefix || halves.1 == prefix)
                #expect(parent.contains(prefix) && !prefix.contains(parent) && prefix.overlaps(parent))
                #expect(!halves.0.overlaps(halves.1))
                #expect(halves.0.first == parent.first && halves.1.last == parent.last)
                #expect(halves.0.last.bits + 1 == halves.1.first.bits)
            } else {
                #expect(prefix.parent == nil)
            }
            if length == family.bitWidth {
                #expect(prefix.halves == nil)
                #expect(prefix.count == 1)
            }
        }
    }

    @Test("the whole of IPv6 reports the largest count there is") func everything() throws {
        let all = try IPPrefix("::/0")
        #expect(all.count == .max)
        #expect(all.last == IPAddress(ipv6: .max))
        #expect(all.mask == IPAddress(ipv6: 0))
        #expect(try all.halves! == (IPPrefix("::/1"), IPPrefix("8000::/1")))
    }

    @Test("masks print as people know them") func masks() throws {
        #expect(try IPPrefix("10.0.0.0/20").mask.description == "255.255.240.0")
        #expect(try IPPrefix("2001:db8::/44").mask.description == "ffff:ffff:fff0::")
    }

    @Test("the families never contain each other") func families() throws {
        let (four, six) = (try IPPrefix("0.0.0.0/0"), try IPPrefix("::/0"))
        #expect(!four.contains(six) && !six.contains(four) && !four.overlaps(six))
        #expect(!six.contains(IPAddress(ipv4: 0)) && !four.contains(IPAddress(ipv6: 0)))
    }

    @Test("sorting walks the prefix tree from the root") func order() throws {
        let sorted = try [
            "0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/9", "10.0.0.0/32", "10.0.0.1/32", "10.128.0.0/9", "11.0.0.0/8",
            "::/0", "::/1", "::/128", "8000::/1",
        ].map { try IPPrefix($0) }
        var generator = SplitMix64(seed: 6)
        for _ in 0..<20 { #expect(sorted.shuffled(using: &generator).sorted() == sorted) }
    }
}
