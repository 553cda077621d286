import AddressPools

/// A place on Earth as LOC records give it (RFC 1876): a version, a size and two precisions of one byte each, then
/// latitude, longitude and altitude.
enum Location {
    private static let middle: Int64 = 1 << 31
    private static let degree: Int64 = 3_600_000
    /// Altitudes count from 100 km below the ellipsoid, in centimeters.
    private static let lowest: Int64 = 10_000_000
    /// The size, the horizontal and the vertical precision where none is written, in centimeters.
    private static let defaults: [Int64] = [100, 1_000_000, 1_000]

    /// Parses `42 21 54 N 71 6 18.5 W -24m 30m 10000m 10m`.
    static func wire(of words: [String]) throws(FieldRefusal) -> [UInt8] {
        var position = 0
        let latitude = try angle(words, &position, "latitude", limit: 90, ends: ("N", "S"))
        let longitude = try angle(words, &position, "longitude", limit: 180, ends: ("E", "W"))
        guard position < words.count else {
            throw FieldRefusal("the altitude is missing; write it in meters, such as 10m", word: position)
        }
        guard let altitude = centimeters(words[position]), (-lowest...Int64(UInt32.max) - lowest).contains(altitude)
        else {
            throw FieldRefusal(
                "\(quoted(words[position])) is not an altitude; write meters from -100000 to 42849672.95, such as 10m",
                word: position)
        }
        position += 1
        var sizes = defaults
        for index in sizes.indices where position < words.count {
            guard let size = centimeters(words[position]), (0...9_000_000_000).contains(size) else {
                throw FieldRefusal(
                    "\(quoted(words[position])) is not a size; write meters from 0 to 90000000, such as 30m",
                    word: position)
            }
            sizes[index] = size
            position += 1
        }
        guard position == words.count else {
            throw FieldRefusal(
                "\(quoted(words[position])) follows the end of the LOC record; remove it", word: position)
        }
        var wire: [UInt8] = [0] + sizes.map(powerOfTen)
        for number in [middle + latitude, middle + longitude, altitude + lowest] {
            ZoneReader.append(UInt32(number), bytes: 4, to: &wire)
        }
        return wire
    }

    /// Parses degrees, minutes, seconds and a direction; returns thousandths of a second of arc.
    private static func angle(
        _ words: [String], _ position: inout Int, _ what: String, limit: Int64, ends: (String, String)
    ) throws(FieldRefusal) -> Int64 {
        var total: Int64 = 0
        for (number, unit) in [degree, 60_000, 1_000].enumerated() {
            guard position < words.count else { break }
            let word = words[position]
            if number > 0, [ends.0, ends.1].contains(word.uppercased()) { break }
            guard let value = thousandths(word, decimals: number == 2 ? 3 : 0),
                value <= (number == 0 ? limit : 59) * 1_000 + (number == 2 ? 999 : 0)
            else {
                throw FieldRefusal(
                    "\(quoted(word)) is not part of a \(what); write degrees, minutes, seconds and \(ends.0) or "
                        + "\(ends.1), such as 42 21 54 \(ends.0)", word: position)
            }
            total += value * unit / 1_000
            position += 1
        }
        guard position < words.count, [ends.0, ends.1].contains(words[position].uppercased()),
            total <= limit * degree
        else {
            throw FieldRefusal(
                "the \(what) does not end with \(ends.0) or \(ends.1), or exceeds \(limit) degrees; correct it",
                word: position)
        }
        position += 1
        return words[position - 1].uppercased() == ends.0 ? total : -total
    }

    /// Returns thousands of a decimal number with so many decimals at most; nil if it is none.
    private static func thousandths(_ word: String, decimals: Int) -> Int64? {
        let parts = word.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count <= 2, parts[0].utf8.count <= 9, parts.allSatisfy({ $0.utf8.allSatisfy(isDigit) }),
            let whole = Int64(parts[0])
        else { return nil }
        guard parts.count == 2 else { return whole * 1_000 }
        guard (1...max(decimals, 1)).contains(parts[1].utf8.count), decimals > 0 else { return nil }
        let padded = parts[1] + String(repeating: "0", count: 3 - parts[1].utf8.count)
        return Int64(padded).map { whole * 1_000 + $0 }
    }

    /// Parses meters with at most two decimals.
    private static func centimeters(_ word: String) -> Int64? {
        var digits = word[...]
        if digits.last?.lowercased() == "m" { digits = digits.dropLast() }
        let isNegative = digits.first == "-"
        if isNegative { digits = digits.dropFirst() }
        return thousandths(String(digits), decimals: 2).map { (isNegative ? -$0 : $0) / 10 }
    }

    /// Returns the first digit and the power of ten, as one byte.
    private static func powerOfTen(_ centimeters: Int64) -> UInt8 {
        var (mantissa, exponent) = (centimeters, UInt8(0))
        while mantissa > 9 { (mantissa, exponent) = (mantissa / 10, exponent + 1) }
        return UInt8(mantissa) << 4 | exponent
    }
}

// MARK: - Wire form

extension Location {
    static func isWellFormed(_ wire: ArraySlice<UInt8>) -> Bool {
        guard wire.count == 16, wire.first == 0 else { return false }
        return wire.dropFirst().prefix(3).allSatisfy { $0 >> 4 <= 9 && $0 & 15 <= 9 }
            && abs(number(wire, at: 4) - middle) <= 90 * degree && abs(number(wire, at: 8) - middle) <= 180 * degree
    }

    /// Whether a well-formed location is read again from its text: zero has one form there, and ten as a byte.
    static func hasText(_ wire: ArraySlice<UInt8>) -> Bool {
        wire.dropFirst().prefix(3).allSatisfy { $0 == 0 || $0 >> 4 > 0 }
    }

    /// Returns the text of a well-formed location.
    static func text(of wire: ArraySlice<UInt8>) -> String {
        let sizes = wire.dropFirst().prefix(3).map { byte in
            meters((0..<byte & 15).reduce(Int64(byte >> 4)) { value, _ in value * 10 })
        }
        let place = [
            angle(number(wire, at: 4) - middle, ("N", "S")), angle(number(wire, at: 8) - middle, ("E", "W")),
            meters(number(wire, at: 12) - lowest),
        ]
        return (place + sizes).joined(separator: " ")
    }

    private static func number(_ wire: ArraySlice<UInt8>, at offset: Int) -> Int64 {
        wire.dropFirst(offset).prefix(4).reduce(0) { $0 << 8 | Int64($1) }
    }

    private static func angle(_ value: Int64, _ ends: (String, String)) -> String {
        let amount = abs(value)
        let seconds = "\(amount / 1_000 % 60).\(padded(amount % 1_000, to: 3))"
        return "\(amount / degree) \(amount / 60_000 % 60) \(seconds) \(value < 0 ? ends.1 : ends.0)"
    }

    private static func meters(_ centimeters: Int64) -> String {
        let amount = abs(centimeters)
        return "\(centimeters < 0 ? "-" : "")\(amount / 100).\(padded(amount % 100, to: 2))m"
    }

    private static func padded(_ number: Int64, to width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: width - digits.count) + digits
    }
}
