import AddressPools

/// The server part of a DNS cookie (RFC 7873, RFC 9018). A client that returns it receives packets at its address.
struct ServerCookie: Equatable {
    /// The version, three zero bytes, and the time in seconds.
    var head: UInt64
    /// SipHash-2-4 over the client part, the head and the address.
    var hash: UInt64
}

/// Makes and verifies cookies with a secret, which all servers of an address share.
struct CookieMaker: Sendable {
    private let key: (UInt64, UInt64)

    /// - Parameter secret: The 128-bit key.
    init(secret: UInt128) {
        key = (UInt64(truncatingIfNeeded: secret >> 64).byteSwapped, UInt64(truncatingIfNeeded: secret).byteSwapped)
    }

    /// Returns a cookie for the current time.
    func cookie(for client: UInt64, at address: IPAddress, time: UInt32) -> ServerCookie {
        let head = 1 << 56 | UInt64(time)
        return ServerCookie(head: head, hash: hash(client, head, address))
    }

    /// Returns whether a cookie was made with this secret and is at most one hour old, or five minutes ahead of this
    /// clock (RFC 9018, section 4.3).
    func accepts(_ cookie: ServerCookie, for client: UInt64, at address: IPAddress, time: UInt32) -> Bool {
        guard cookie.head >> 56 == 1 else { return false }
        let age = Int32(bitPattern: time &- UInt32(truncatingIfNeeded: cookie.head))
        return (-300...3_600).contains(age) && hash(client, cookie.head, address) == cookie.hash
    }

    private func hash(_ client: UInt64, _ head: UInt64, _ address: IPAddress) -> UInt64 {
        var hash = SipHash24(key)
        hash.add(client.byteSwapped)
        hash.add(head.byteSwapped)
        let bits = address.bits
        let length: UInt64
        if address.family == .ipv4 {
            length = 20
            return hash.finish(rest: UInt64(UInt32(truncatingIfNeeded: bits).byteSwapped), length: length).byteSwapped
        }
        length = 32
        hash.add(UInt64(truncatingIfNeeded: bits >> 64).byteSwapped)
        hash.add(UInt64(truncatingIfNeeded: bits).byteSwapped)
        return hash.finish(rest: 0, length: length).byteSwapped
    }
}

/// SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012) over little-endian words.
struct SipHash24 {
    private var v0, v1, v2, v3: UInt64

    init(_ key: (UInt64, UInt64)) {
        v0 = key.0 ^ 0x736f_6d65_7073_6575
        v1 = key.1 ^ 0x646f_7261_6e64_6f6d
        v2 = key.0 ^ 0x6c79_6765_6e65_7261
        v3 = key.1 ^ 0x7465_6462_7974_6573
    }

    mutating func add(_ word: UInt64) {
        v3 ^= word
        round()
        round()
        v0 ^= word
    }

    /// Returns the hash.
    ///
    /// - Parameters:
    ///   - rest: The bytes that do not fill a word.
    ///   - length: The total number of bytes.
    mutating func finish(rest: UInt64, length: UInt64) -> UInt64 {
        add(rest | length << 56)
        v2 ^= 0xff
        for _ in 0..<4 { round() }
        return v0 ^ v1 ^ v2 ^ v3
    }

    private mutating func round() {
        v0 &+= v1
        v1 = v1 << 13 | v1 >> 51
        v1 ^= v0
        v0 = v0 << 32 | v0 >> 32
        v2 &+= v3
        v3 = v3 << 16 | v3 >> 48
        v3 ^= v2
        v0 &+= v3
        v3 = v3 << 21 | v3 >> 43
        v3 ^= v0
        v2 &+= v1
        v1 = v1 << 17 | v1 >> 47
        v1 ^= v2
        v2 = v2 << 32 | v2 >> 32
    }
}
