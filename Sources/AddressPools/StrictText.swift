// What the parsers share. They all work on bytes: every text this module accepts is ASCII, so anything else,
// including the digits of other scripts that `Character.isNumber` would let through, fails by not being one of the
// bytes expected.

/// Why a piece of text was refused; the public initializers put the text itself in front of it.
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

/// The longest text that holds one address, prefix or socket address (`[` + 45 + `]:65535` is 53), with room for a zone
/// name so that `fe80::1%eth0` is told about zones and not about its length.
let longestAddressText = 72

/// The bytes of `text`, or nil as soon as there are more than `limit`, so that a huge input costs no more than a
/// short one.
func boundedBytes(_ text: some StringProtocol, limit: Int) -> [UInt8]? {
    // Nearly every text is contiguous, and copying it whole is many times faster than byte by byte.
    let whole = text.utf8.withContiguousStorageIfAvailable { $0.count <= limit ? Array($0) : nil }
    if let whole { return whole }
    var bytes: [UInt8] = []
    for byte in text.utf8 {
        if bytes.count == limit { return nil }
        bytes.append(byte)
    }
    return bytes
}

/// A decimal number from 0 to `maximum` (below 100,000) with nothing around it: no sign, no space, no leading zero.
func strictDecimal(_ bytes: ArraySlice<UInt8>, maximum: Int) -> Int? {
    guard let first = bytes.first, bytes.count <= 5, first != ASCII.zero || bytes.count == 1 else { return nil }
    var value = 0
    for byte in bytes {
        guard byte >= ASCII.zero, byte <= ASCII.nine else { return nil }
        value = value * 10 + Int(byte - ASCII.zero)
    }
    return value <= maximum ? value : nil
}

/// `text` in double quotes for an error message: at most 64 characters of it, everything but printable ASCII escaped,
/// so that a hostile input can neither fill a log nor forge a line of it.
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

/// `bytes` as ``quoted(_:)`` shows text.
func quoted(_ bytes: ArraySlice<UInt8>) -> String {
    quoted(String(decoding: bytes, as: UTF8.self))
}

extension UInt128 {
    /// A number whose lowest `count` bits (0 to 128) are set.
    @inlinable
    static func lowBits(_ count: Int) -> UInt128 {
        // Swift's `>>` gives 0 for a shift by the full width, which is what a count of 0 needs.
        UInt128.max >> (128 - count)
    }
}
