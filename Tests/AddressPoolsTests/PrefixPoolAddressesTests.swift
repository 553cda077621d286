import AddressPools
import Testing

@Suite struct PrefixPoolAddressesTests {
    @Test("the addresses of a pool come in ascending order, each once") func iteration() throws {
        let pool = try PrefixPool(
            "192.0.2.4/31", "255.255.255.254/31", "::ffff/128", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127")
        #expect(
            pool.addresses.map(\.description) == [
                "192.0.2.4", "192.0.2.5", "255.255.255.254", "255.255.255.255", "::ffff",
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            ])
    }

    @Test("an empty pool has no addresses") func empty() {
        #expect(Array(PrefixPool().addresses).isEmpty)
        var iterator = PrefixPool().addresses.makeIterator()
        #expect(iterator.next() == nil && iterator.next() == nil)
    }

    @Test("the first addresses of a huge pool come at once") func lazy() throws {
        #expect(try PrefixPool("::/0").addresses.prefix(3).map(\.description) == ["::", "::1", "::2"])
    }
}
