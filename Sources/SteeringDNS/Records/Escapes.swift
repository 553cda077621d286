// Escapes are the same in names and in character strings: \DDD for a byte, \X for a special character.

/// The error for an escape that ``unescaped(_:at:)`` rejects.
let badEscape =
    "a backslash needs three digits from 000 to 255 or one printable character after it; write \\\\ for itself"

/// Returns the byte of an escape; nil if it is malformed. `position` is after the backslash, and moves past the escape.
func unescaped(_ text: ArraySlice<UInt8>, at position: inout Int) -> UInt8? {
    guard position < text.endIndex else { return nil }
    let first = text[position]
    guard isDigit(first) else {
        position += 1
        return first >= 0x20 && first <= 0x7E ? first : nil
    }
    guard position + 3 <= text.endIndex else { return nil }
    var value = 0
    for byte in text[position..<position + 3] {
        guard isDigit(byte) else { return nil }
        value = value * 10 + Int(byte - UInt8(ascii: "0"))
    }
    position += 3
    return UInt8(exactly: value)
}

func isLetter(_ byte: UInt8) -> Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(lowercased(byte)) }

func isDigit(_ byte: UInt8) -> Bool {
    byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9")
}

/// Appends a byte so that zone file readers take it literally: `special` characters as `\X`, others that are not
/// visible as `\DDD`.
func appendEscaped(_ byte: UInt8, special: [UInt8], plainSpace: Bool = false, to text: inout [UInt8]) {
    if special.contains(byte) {
        text.append(UInt8(ascii: "\\"))
        text.append(byte)
    } else if byte > 0x20 && byte < 0x7F || plainSpace && byte == 0x20 {
        text.append(byte)
    } else {
        text.append(UInt8(ascii: "\\"))
        for part in [byte / 100, byte / 10 % 10, byte % 10] { text.append(UInt8(ascii: "0") + part) }
    }
}
