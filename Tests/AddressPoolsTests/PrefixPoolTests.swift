import AddressPools
import Testing

@Suite struct PrefixPoolTests {
    @Test(
        "a pool prints as the fewest prefixes, ascending",
        arguments: [
            ([], ""),
            (["192.0.2.0/24"], "192.0.2.0/24"),
            (["2001:db8::/44", "192.0.2.0/24"], "192.0.2.0/24, 2001:db8::/44"),
            (["192.0.2.128/25", "192.0.2.0/25"], "192.0.2.0/24"),
            (["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24", "10.0.3.0/24"], "10.0.0.0/22"),
            (["10.0.1.0/24", "10.0.2.0/24"], "10.0.1.0/24, 10.0.2.0/24"),
            (["10.0.0.0/8", "10.1.2.0/24", "10.0.0.0/8", "10.0.0.0/32"], "10.0.0.0/8"),
            (["10.0.0.0/32", "10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/30"], "10.0.0.0/29"),
            (["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"], "0.0.0.0/0, ::/0"),
            (["255.255.255.255/32", "::/128"], "255.255.255.255/32, ::/128"),
        ])
    func canonical(texts: [String], expected: String) throws {
        let pool = try PrefixPool(parsing: texts)
        #expect(pool.description == expected)
        #expect(try PrefixPool(parsing: texts.reversed()) == pool)
        #expect(pool.isEmpty == texts.isEmpty)
    }

    @Test("a pool is made from texts and refuses what is not a prefix") func texts() throws {
        #expect(try PrefixPool("192.0.2.0/25", "192.0.2.128/25") == PrefixPool([IPPrefix("192.0.2.0/24")]))
        #expect(code { try PrefixPool("192.0.2.0/24", "192.0.2.1") } == .missingPrefixLength)
        #expect(code { try PrefixPool("192.0.2.1/24") } == .hostBitsSet)
        #expect(PrefixPool().isEmpty && PrefixPool() == PrefixPool([]))
    }

    @Test("equal sets are equal values with equal hashes") func equality() throws {
        let one = try PrefixPool("192.0.2.0/24", "2001:db8::/127")
        let other = try PrefixPool("2001:db8::1/128", "192.0.2.128/25", "2001:db8::/128", "192.0.2.0/25")
        #expect(one == other)
        #expect(one.hashValue == other.hashValue)
        #expect(try one != PrefixPool("192.0.2.0/24"))
    }

    @Test("containment of addresses and prefixes includes both ends") func containment() throws {
        let pool = try PrefixPool("10.0.0.0/24", "10.0.2.0/24", "::/127", "ffff::/16")
        for text in [
            "10.0.0.0", "10.0.0.255", "10.0.2.0", "10.0.2.255", "::", "::1", "ffff::",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ] {
            #expect(try pool.contains(IPAddress(text)), "\(text)")
        }
        for text in ["0.0.0.0", "9.255.255.255", "10.0.1.0", "10.0.3.0", "255.255.255.255", "::2", "fffe:ffff::"] {
            #expect(try !pool.contains(IPAddress(text)), "\(text)")
        }
        #expect(try pool.contains(IPPrefix("10.0.2.0/24")) && pool.contains(IPPrefix("10.0.2.128/25")))
        #expect(
            try !pool.contains(IPPrefix("10.0.2.0/23")) && !pool.contains(IPPrefix("10.0.0.0/22"))
                && !pool.contains(IPPrefix("::/0")))
        #expect(try !PrefixPool().contains(IPAddress("::")) && !PrefixPool().contains(IPPrefix("::/0")))
    }

    @Test("indices count the addresses of a pool in ascending order") func indices() throws {
        let pool = try PrefixPool("10.0.0.0/30", "10.0.0.8/29", "10.0.1.0/32", "::/126", "ffff::/120")
        let addresses = Array(pool.addresses)
        #expect(pool.count == 4 + 8 + 1 + 4 + 256)
        #expect(addresses.count == Int(pool.count))
        #expect(addresses.sorted() == addresses)
        for (index, address) in addresses.enumerated() {
            #expect(try pool.address(at: UInt128(index)) == address)
            #expect(pool.index(of: address) == UInt128(index))
        }
        #expect(code { try pool.address(at: pool.count) } == .indexOutOfRange)
        #expect(code { try pool.address(at: .max) } == .indexOutOfRange)
        #expect(code { try PrefixPool().address(at: 0) } == .emptyPool)
        #expect(try pool.index(of: IPAddress("10.0.0.4")) == nil)
        #expect(try pool.index(of: IPAddress("::4")) == nil)
    }

    @Test("a pool of 1,000 prefixes finds every address by index") func manyPrefixes() throws {
        for count in [2, 3, 7, 8, 9, 1_000] {
            // Every second /30, so that none are neighbors.
            let pool = PrefixPool((0..<count).map { IPPrefix(masking: IPAddress(ipv4: UInt32($0) * 8), length: 30) })
            #expect(pool.prefixes.count == count && pool.count == UInt128(count * 4))
            for index in 0..<(count * 4) {
                let address = try pool.address(at: UInt128(index))
                #expect(address.bits == UInt128(index / 4 * 8 + index % 4))
                #expect(pool.index(of: address) == UInt128(index))
            }
        }
    }

    @Test("all of IPv6 works to its last address") func allOfIPv6() throws {
        let pool = try PrefixPool("::/0")
        #expect(pool.count == .max)
        #expect(try pool.address(at: .max) == IPAddress(ipv6: .max))
        #expect(pool.index(of: IPAddress(ipv6: .max)) == .max)
        let half = try PrefixPool("::/1")
        #expect(half.count == UInt128(1) << 127)
        #expect(code { try half.address(at: 1 << 127) } == .indexOutOfRange)
    }

    @Test("everything there is works, though its last addresses have no index") func everything() throws {
        let pool = try PrefixPool("0.0.0.0/0", "::/0")
        #expect(pool.count == .max)
        #expect(try pool.address(at: 0) == IPAddress(ipv4: 0))
        #expect(try pool.address(at: 1 << 32) == IPAddress(ipv6: 0))
        let lastWithIndex = IPAddress(ipv6: .max - (1 << 32))
        #expect(try pool.address(at: .max) == lastWithIndex)
        #expect(pool.index(of: lastWithIndex) == .max)
        #expect(pool.index(of: IPAddress(ipv6: lastWithIndex.bits + 1)) == nil)
        #expect(pool.contains(IPAddress(ipv6: .max)))
    }

    @Test("the last index of a pool of several IPv4 prefixes and all of IPv6 is found", arguments: 0...9)
    func severalAndAllOfIPv6(count: Int) throws {
        let few = (0..<count).map { IPPrefix(masking: IPAddress(ipv4: UInt32($0) << 8), length: 32) }
        let pool = PrefixPool(few + [try IPPrefix("::/0")])
        #expect(pool.prefixes.count == count + 1)
        let last = IPAddress(ipv6: .max - UInt128(count))
        #expect(try pool.address(at: .max) == last)
        #expect(pool.index(of: last) == .max)
        #expect(try pool.address(at: UInt128(count)) == IPAddress(ipv6: 0))
    }
}
