import AddressPools

/// Text with places for a number, as `$GENERATE` has: `$`, or `${OFFSET,WIDTH,BASE}`; `$$` and `\$` are a dollar.
struct ZoneTemplate {
    static let widest = 255

    private enum Piece {
        case text([UInt8])
        case number(offset: Int, width: Int, base: UInt8)
    }

    private var pieces: [Piece] = []

    init(_ text: [UInt8]) throws(FieldRefusal) {
        var plain: [UInt8] = []
        var position = 0
        while position < text.count {
            let byte = text[position]
            let next = position + 1 < text.count ? text[position + 1] : 0
            switch (byte, next) {
            case (UInt8(ascii: "\\"), 1...):
                plain += [byte, next]
                position += 2
            case (UInt8(ascii: "$"), UInt8(ascii: "$")):
                plain.append(byte)
                position += 2
            case (UInt8(ascii: "$"), UInt8(ascii: "{")):
                let end = text[position...].firstIndex(of: UInt8(ascii: "}")) ?? text.count
                pieces.append(.text(plain))
                pieces.append(try ZoneTemplate.number(text[position..<min(end + 1, text.count)]))
                plain = []
                position = end + 1
            case (UInt8(ascii: "$"), _):
                pieces.append(.text(plain))
                pieces.append(.number(offset: 0, width: 0, base: UInt8(ascii: "d")))
                plain = []
                position += 1
            default:
                plain.append(byte)
                position += 1
            }
        }
        pieces.append(.text(plain))
    }

    /// Parses `${OFFSET}`, `${OFFSET,WIDTH}` or `${OFFSET,WIDTH,BASE}`.
    private static func number(_ text: ArraySlice<UInt8>) throws(FieldRefusal) -> Piece {
        let whole = String(decoding: text, as: UTF8.self)
        let parts = whole.dropFirst(2).dropLast().split(separator: ",", omittingEmptySubsequences: false)
        let width = parts.count > 1 ? UInt8(parts[1]) : 0
        let base = parts.count > 2 ? parts[2] : "d"
        guard whole.last == "}", parts.count <= 3, let offset = Int32(parts[0]), let width,
            ["d", "o", "x", "X", "n", "N"].contains(base), let letter = base.utf8.first
        else {
            throw FieldRefusal(
                "\(quoted(whole)) is not ${OFFSET,WIDTH,BASE}; write a number, a width up to 255, and d, o, x, X, n or N"
            )
        }
        return .number(offset: Int(offset), width: Int(width), base: letter)
    }

    /// Returns the text for a number.
    func text(for value: Int) throws(FieldRefusal) -> [UInt8] {
        var text: [UInt8] = []
        for piece in pieces {
            switch piece {
            case .text(let bytes): text += bytes
            case .number(let offset, let width, let base):
                guard value + offset >= 0 else {
                    throw FieldRefusal("the offset \(offset) makes \(value) negative; write a larger one")
                }
                text += ZoneTemplate.digits(of: value + offset, width, base)
            }
        }
        return text
    }

    private static func digits(of value: Int, _ width: Int, _ base: UInt8) -> [UInt8] {
        let isUpper = base == UInt8(ascii: "X") || base == UInt8(ascii: "N")
        switch lowercased(base) {
        case UInt8(ascii: "n"): return nibbles(of: value, width, isUpper)
        case let letter:
            let radix = letter == UInt8(ascii: "d") ? 10 : letter == UInt8(ascii: "o") ? 8 : 16
            let digits = String(value, radix: radix, uppercase: isUpper).utf8
            return [UInt8](repeating: UInt8(ascii: "0"), count: max(0, width - digits.count)) + digits
        }
    }

    /// Returns hexadecimal digits, the last one first, with dots in between. The width counts the dots as well.
    private static func nibbles(of value: Int, _ width: Int, _ isUpper: Bool) -> [UInt8] {
        var text: [UInt8] = []
        var rest = value
        repeat {
            text += String(rest & 15, radix: 16, uppercase: isUpper).utf8
            rest >>= 4
            if rest != 0 || text.count < width { text.append(UInt8(ascii: ".")) }
        } while rest != 0 || text.count < width
        return text
    }
}
