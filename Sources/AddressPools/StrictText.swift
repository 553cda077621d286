// Helpers of the parsers, which all work on bytes. Valid text is ASCII, so everything else fails the byte comparisons,
// including digits of other scripts, which `Character.isNumber` accepts.

/// The reason why a text is invalid; public initializers prepend the quoted text.
struct Refusal: Error {
    let reason: String

    init(_ reason: String) {
        self.reason = reason
    }
}

enum ASCII {
    static let percent = UInt8(ascii: "%")
    static let comma = UInt8(ascii: ",")
    static let hyphen = UInt8(ascii: "-")
    static let dot = UInt8(ascii: ".")
    static let slash = UInt8(ascii: "/")
    static let zero = UInt8(ascii: "0")
    static let nine = UInt8(ascii: "9")
    static let colon = UInt8(ascii: ":")
    static let openBracket = UInt8(ascii: "[")
    static let closeBracket = UInt8(ascii: "]")
}

/// The length limit of an address, prefix or socket address (`[` + 45 + `]:65535` is 53), plus room for a zone, so that
/// `fe80::1%eth0` is rejected for its zone, not for its length.
let longestAddressText = 72

/// Returns the bytes of `text`, or `nil` if there are more than `limit`, without reading the rest of a huge input.
func boundedBytes(_ text: some StringProtocol, limit: Int) -> [UInt8]? {
    // Nearly every string is contiguous, and copying it as a whole is many times faster than byte by byte.
    let whole = text.utf8.withContiguousStorageIfAvailable { $0.count <= limit ? Array($0) : nil }
    if let whole { return whole }
    var bytes: [UInt8] = []
    for byte in text.utf8 {
        if bytes.count == limit { return nil }
        bytes.append(byte)
    }
    return bytes
}

/// Parses a decimal number from 0 to `maximum` (less than 100,000) without sign, spaces or leading zeros.
func strictDecimal(_ bytes: ArraySlice<UInt8>, maximum: Int) -> Int? {
    guard let first = bytes.first, bytes.count <= 5, first != ASCII.zero || bytes.count == 1 else { return nil }
    var value = 0
    for byte in bytes {
        guard byte >= ASCII.zero, byte <= ASCII.nine else { return nil }
        value = value * 10 + Int(byte - ASCII.zero)
    }
    return value <= maximum ? value : nil
}

/// Returns `text` in double quotes for an error message: truncated to 64 characters, with everything but printable
/// ASCII escaped, so that hostile input can neither flood a log nor forge a line in it.
package func quoted(_ text: some StringProtocol) -> String {
    let limit = 64
    var result = "\""
    for (position, scalar) in text.unicodeScalars.enumerated() {
        if position == limit { return result + "\"..." }
        switch scalar {
        case "\"", "\\": result += "\\\(scalar)"
        case " "..."~": result.unicodeScalars.append(scalar)
        default: result += "\\u{\(String(scalar.value, radix: 16))}"
        }
    }
    return result + "\""
}

/// Returns `bytes` as UTF-8 text in double quotes, truncated and escaped like other text.
func quoted(_ bytes: ArraySlice<UInt8>) -> String {
    quoted(String(decoding: bytes, as: UTF8.self))
}

extension UInt128 {
    /// Returns a number whose lowest `count` bits (0 to 128) are set.
    @inlinable
    static func lowBits(_ count: Int) -> UInt128 {
        // Swift's `>>` gives 0 for a shift by the full width, as required for a count of 0.
        UInt128.max >> (128 - count)
    }
}
