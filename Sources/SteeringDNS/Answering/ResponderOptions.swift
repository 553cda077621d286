/// The server information that a responder discloses, and its limits.
public struct ResponderOptions: Sendable {
    /// The answer to NSID (RFC 5001) and to `id.server` and `hostname.bind`: at most 255 bytes; nil to disclose none.
    public var identifier: [UInt8]?
    /// The answer to `version.bind` and `version.server`: at most 255 bytes; nil to disclose none.
    public var version: [UInt8]?
    /// The secret of DNS cookies: 128 bits, the same on all servers that share an address.
    public var cookieSecret: UInt128
    /// Whether UDP answers to clients without a valid cookie are limited, against amplification.
    ///
    /// After a first 4 KiB, of which a byte comes back every 16 ms, each worker sends a client network (/24 or /56) at
    /// most 1.5 times the bytes received from it, packet headers included.
    public var limitsResponses = true
    /// The highest number of those answers per second, per worker and client network (/24 or /56); 0 for no such limit.
    ///
    /// Beyond it, every second answer is truncated and the others are dropped. Ignored unless ``limitsResponses`` is
    /// set.
    public var responseRate: UInt32 = 0
    /// The number of networks that the limiter tracks; tests use fewer.
    var limiterPlaces = 1 << 16
    /// Whether answers are counted per address, in pools of at most 65,536 addresses.
    public var countsAddresses = false

    /// Makes options with a random cookie secret, and no server information.
    public init() {
        var system = SystemRandomNumberGenerator()
        cookieSecret = UInt128(system.next()) << 64 | UInt128(system.next())
    }

    /// Returns the answer to a question about the server in class CHAOS (RFC 4892).
    func chaosText(_ query: Query, _ message: Span<UInt8>) -> [UInt8]? {
        guard query.type == RecordType.TXT.rawValue || query.type == RecordType.ANY.rawValue else { return nil }
        if let version, Self.isName(query, message, "version.bind") || Self.isName(query, message, "version.server") {
            return version
        }
        if let identifier, Self.isName(query, message, "id.server") || Self.isName(query, message, "hostname.bind") {
            return identifier
        }
        return nil
    }

    private static func isName(_ query: Query, _ message: Span<UInt8>, _ text: String) -> Bool {
        guard let name = try? DNSName(text), name.wire.count == query.nameLength else { return false }
        for (offset, byte) in name.wire.enumerated() where lowercased(message[Query.nameOffset + offset]) != byte {
            return false
        }
        return true
    }
}
