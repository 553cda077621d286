/// What a responder tells of itself, and what it keeps from harm.
public struct ResponderOptions: Sendable {
    /// What NSID (RFC 5001) and `id.server` say; nil for nothing.
    public var identifier: [UInt8]?
    /// What `version.bind` says; nil for nothing.
    public var version: [UInt8]?
    /// The secret of cookies: 128 bits, the same in all servers of an address.
    public var cookieSecret: UInt128
    /// Whether answers by UDP without a cookie are limited.
    public var limitsResponses = true
    /// How many of those a second go to a /24 or a /56; 0 for any number.
    public var responseRate: UInt32 = 0
    /// How many places for networks the limit has; few where it is tested.
    var limiterPlaces = 1 << 16
    /// Whether each address of each pool of at most 65,536 is counted.
    public var countsAddresses = false

    /// Makes options with a secret of the system.
    public init() {
        var system = SystemRandomNumberGenerator()
        cookieSecret = UInt128(system.next()) << 64 | UInt128(system.next())
    }

    /// The text that a question about the server has for an answer (RFC 4892).
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
