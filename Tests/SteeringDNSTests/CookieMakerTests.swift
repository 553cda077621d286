import AddressPools
import Testing

@testable import SteeringDNS

@Suite struct CookieMakerTests {
    struct Vector: Sendable {
        let secret: UInt128
        let client: UInt64
        let address: String
        let time: UInt32
        let cookie: UInt128
    }

    /// RFC 9018, appendix A.
    static let vectors = [
        Vector(
            secret: 0xe5e9_73e5_a6b2_a43f_48e7_dc84_9e37_bfcf, client: 0x2464_c4ab_cf10_c957, address: "198.51.100.100",
            time: 1_559_731_985, cookie: 0x0100_0000_5cf7_9f11_1f81_30c3_eee2_9480),
        Vector(
            secret: 0xe5e9_73e5_a6b2_a43f_48e7_dc84_9e37_bfcf, client: 0x2464_c4ab_cf10_c957, address: "198.51.100.100",
            time: 1_559_734_385, cookie: 0x0100_0000_5cf7_a871_d4a5_64a1_442a_ca77),
        Vector(
            secret: 0xe5e9_73e5_a6b2_a43f_48e7_dc84_9e37_bfcf, client: 0xfc93_fc62_807d_db86, address: "203.0.113.203",
            time: 1_559_734_700, cookie: 0x0100_0000_5cf7_a9ac_f73a_7810_aca2_381e),
        Vector(
            secret: 0x4455_36bc_d251_3298_075a_5d37_9663_c962, client: 0x2268_1ab9_7d52_c298,
            address: "2001:db8:220:1:59de:d0f4:8769:82b8", time: 1_559_741_961,
            cookie: 0x0100_0000_5cf7_c609_a6bb_79d1_6625_507a),
    ]

    private func cookie(_ number: UInt128) -> ServerCookie {
        ServerCookie(head: UInt64(truncatingIfNeeded: number >> 64), hash: UInt64(truncatingIfNeeded: number))
    }

    @Test("cookies are those of RFC 9018", arguments: vectors)
    func published(_ vector: Vector) throws {
        let maker = CookieMaker(secret: vector.secret), address = try IPAddress(vector.address)
        #expect(maker.cookie(for: vector.client, at: address, time: vector.time) == cookie(vector.cookie))
        #expect(maker.accepts(cookie(vector.cookie), for: vector.client, at: address, time: vector.time))
    }

    @Test("cookies that RFC 9018's clients send are known: with reserved bits set, and of another secret")
    func sent() throws {
        let client: UInt64 = 0xfc93_fc62_807d_db86, sent = cookie(0x01ab_cdef_5cf7_8f71_a314_227b_6679_ebf5)
        let maker = CookieMaker(secret: Self.vectors[2].secret), address = try IPAddress("203.0.113.203")
        // It was made at 1559727985.
        #expect(maker.accepts(sent, for: client, at: address, time: 1_559_731_585))
        #expect(!maker.accepts(sent, for: client, at: address, time: 1_559_731_586))
        let old = cookie(0x0100_0000_5cf7_c579_2655_6bd0_934c_72f8), new = Self.vectors[3]
        let time = new.time, of = try IPAddress(new.address)
        #expect(!CookieMaker(secret: new.secret).accepts(old, for: new.client, at: of, time: time))
        #expect(
            CookieMaker(secret: 0xdd3b_df93_44b6_78b1_85a6_f5cb_60fc_a715).accepts(
                old, for: new.client, at: of, time: time))
    }

    @Test("a cookie is good for an hour, at its address, for its client and its version, also when the clock wraps")
    func bounds() throws {
        let maker = CookieMaker(secret: 1), address = try IPAddress("192.0.2.1")
        for time: UInt32 in [1_000_000, 100, UInt32.max - 100] {
            let made = maker.cookie(for: 7, at: address, time: time)
            func accepts(_ offset: Int32) -> Bool {
                maker.accepts(made, for: 7, at: address, time: time &+ UInt32(bitPattern: offset))
            }
            #expect(accepts(0) && accepts(3_600) && accepts(-300))
            #expect(!accepts(3_601) && !accepts(-301))
            #expect(!maker.accepts(made, for: 8, at: address, time: time))
            #expect(!maker.accepts(made, for: 7, at: try IPAddress("192.0.2.2"), time: time))
            #expect(!maker.accepts(made, for: 7, at: try IPAddress("::192.0.2.1"), time: time))
            let other = ServerCookie(head: made.head ^ 3 << 56, hash: made.hash)
            #expect(!maker.accepts(other, for: 7, at: address, time: time))
            for bit in 0..<64 {
                let changed = ServerCookie(head: made.head, hash: made.hash ^ 1 << UInt64(bit))
                #expect(!maker.accepts(changed, for: 7, at: address, time: time))
            }
        }
    }

    @Test("SipHash-2-4 is that of its paper's appendix")
    func sipHash() {
        var hash = SipHash24((0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908))
        hash.add(0x0706_0504_0302_0100)
        #expect(hash.finish(rest: 0x0e_0d0c_0b0a_0908, length: 15) == 0xa129_ca61_49be_45e5)
    }
}
