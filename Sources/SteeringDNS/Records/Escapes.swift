// Escapes are the same in names and in texts: \DDD for a byte, \X for a character that would mean something.

/// What is wrong where ``unescaped(_:at:)`` finds nothing.
let badEscape =
    "a backslash needs three digits from 000 to 255 or one printable character after it; write \\\\ for itself"

/// The byte that an escape stands for. `position` is that after the backslash, and moves behind the escape.
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

func isDigit(_ byte: UInt8) -> Bool {
    byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9")
}

/// Appends a byte so that a reader of zone files takes it for itself; `special` ones and the backslash by `\X`.
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
