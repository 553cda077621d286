extension IPAddress: CustomStringConvertible {
    /// Parses an address.
    ///
    /// - Parameter text: Four decimal numbers from 0 to 255 without leading zeros (`192.0.2.1`), or any of the three
    ///   IPv6 forms of RFC 4291, section 2.2 (`2001:db8::1`, `::ffff:192.0.2.1`), in upper or lower case.
    /// - Throws: ``AddressError/Code/invalidAddress`` for anything else, including surrounding spaces and a zone
    ///   (`fe80::1%eth0`). IPv6 text need not be in canonical form.
    public init(_ text: some StringProtocol) throws(AddressError) {
        do throws(Refusal) {
            guard let bytes = boundedBytes(text, limit: longestAddressText) else {
                throw Refusal("it is too long; write only the address, such as 192.0.2.1 or 2001:db8::1")
            }
            self = try IPAddress(parsing: bytes[...])
        } catch {
            throw AddressError(.invalidAddress, "\(quoted(text)) is not an IP address: \(error.reason)")
        }
    }

    /// The canonical text: dotted decimal for IPv4, RFC 5952 for IPv6; IPv4-mapped addresses print as
    /// `::ffff:192.0.2.1`.
    public var description: String {
        var text: [UInt8] = []
        text.reserveCapacity(45)
        switch family {
        case .ipv4: IPAddress.appendDottedQuad(UInt32(truncatingIfNeeded: bits), to: &text)
        case .ipv6: appendIPv6(to: &text)
        }
        return String(decoding: text, as: UTF8.self)
    }
}

// MARK: - Parsing

extension IPAddress {
    /// Parses an address that takes up all of `bytes`.
    init(parsing bytes: ArraySlice<UInt8>) throws(Refusal) {
        if bytes.isEmpty {
            throw Refusal("it is empty; write an address such as 192.0.2.1 or 2001:db8::1")
        }
        if bytes.contains(ASCII.percent) {
            throw Refusal("zones (the part from % on) are not supported; write the address without its zone")
        }
        if bytes.contains(ASCII.colon) {
            self.init(ipv6: try IPAddress.parseIPv6(bytes))
        } else {
            self.init(ipv4: try IPAddress.parseIPv4(bytes))
        }
    }

    private static func parseIPv4(_ bytes: ArraySlice<UInt8>) throws(Refusal) -> UInt32 {
        let dots = bytes.reduce(0) { $1 == ASCII.dot ? $0 + 1 : $0 }
        guard dots == 3 else {
            throw Refusal("an IPv4 address is four numbers joined by dots, such as 192.0.2.1")
        }
        var value: UInt32 = 0
        var rest = bytes
        for _ in 0..<4 {
            let part = rest.prefix { $0 != ASCII.dot }
            rest = rest[part.endIndex...].dropFirst()
            // Some parsers read a leading zero as octal, others as decimal, so it is rejected.
            guard let number = strictDecimal(part, maximum: 255) else {
                throw Refusal("\(quoted(part)) is not a decimal number from 0 to 255 without leading zeros")
            }
            value = value << 8 | UInt32(number)
        }
        return value
    }

    private static func parseIPv6(_ bytes: ArraySlice<UInt8>) throws(Refusal) -> UInt128 {
        var groups: UInt128 = 0
        var count = 0
        var groupsBeforeGap: Int?
        var position = bytes.startIndex

        if bytes.first == ASCII.colon {
            guard bytes.count > 1, bytes[position + 1] == ASCII.colon else {
                throw Refusal("it begins with a single colon; write :: for a run of zeros")
            }
            groupsBeforeGap = 0
            position += 2
        }
        while position < bytes.endIndex {
            let start = position
            var value: UInt128 = 0
            while position < bytes.endIndex, let digit = hexadecimalDigit(bytes[position]) {
                value = value << 4 | digit
                position += 1
                if position - start > 4 {
                    throw Refusal("a group has more than four hexadecimal digits")
                }
            }
            if position < bytes.endIndex, bytes[position] == ASCII.dot {
                // The last 32 bits may be written as an IPv4 address, which must end the text.
                groups = groups << 32 | UInt128(try parseIPv4(bytes[start...]))
                count += 2
                break
            }
            guard position > start else {
                throw bytes[position] == ASCII.colon
                    ? Refusal("it has three colons in a row; write :: for a run of zeros")
                    : Refusal("\(quoted(bytes[position...].prefix(1))) is not a hexadecimal digit")
            }
            groups = groups << 16 | value
            count += 1
            if count > 8 { break }
            if position == bytes.endIndex { break }
            guard bytes[position] == ASCII.colon else {
                throw Refusal("\(quoted(bytes[position...].prefix(1))) is neither a hexadecimal digit nor a colon")
            }
            position += 1
            guard position < bytes.endIndex else {
                throw Refusal("it ends with a single colon; write :: for a run of zeros")
            }
            if bytes[position] == ASCII.colon {
                guard groupsBeforeGap == nil else {
                    throw Refusal("it has more than one ::, so the number of zeros in each is unknown")
                }
                groupsBeforeGap = count
                position += 1
            }
        }

        guard let groupsBeforeGap else {
            guard count == 8 else {
                throw Refusal("an IPv6 address has eight groups of 16 bits, or fewer and a :: for a run of zeros")
            }
            return groups
        }
        guard count < 8 else {
            throw Refusal("it already has eight groups of 16 bits and :: stands for at least one; remove the ::")
        }
        let bitsAfterGap = 16 * (count - groupsBeforeGap)
        let head = (groups >> bitsAfterGap) << (128 - 16 * groupsBeforeGap)
        return head | (groups & .lowBits(bitsAfterGap))
    }

    private static func hexadecimalDigit(_ byte: UInt8) -> UInt128? {
        switch byte {
        case ASCII.zero...ASCII.nine: UInt128(byte - ASCII.zero)
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt128(byte - UInt8(ascii: "a") + 10)
        case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt128(byte - UInt8(ascii: "A") + 10)
        default: nil
        }
    }
}

// MARK: - Printing

extension IPAddress {
    private static func appendDottedQuad(_ value: UInt32, to text: inout [UInt8]) {
        for shift in [24, 16, 8, 0] as [UInt32] {
            let part = UInt8(truncatingIfNeeded: value >> shift)
            if part >= 100 { text.append(ASCII.zero + part / 100) }
            if part >= 10 { text.append(ASCII.zero + part / 10 % 10) }
            text.append(ASCII.zero + part % 10)
            if shift > 0 { text.append(ASCII.dot) }
        }
    }

    private func appendIPv6(to text: inout [UInt8]) {
        if isIPv4Mapped {
            text.append(contentsOf: "::ffff:".utf8)
            IPAddress.appendDottedQuad(UInt32(truncatingIfNeeded: bits), to: &text)
            return
        }
        let gap = longestZeroRun
        var index = 0
        while index < 8 {
            if index == gap.lowerBound, !gap.isEmpty {
                text.append(contentsOf: "::".utf8)
                index = gap.upperBound
                continue
            }
            if index > 0, index != gap.upperBound || gap.isEmpty { text.append(ASCII.colon) }
            IPAddress.appendHexadecimal(group(index), to: &text)
            index += 1
        }
    }

    private static func appendHexadecimal(_ value: UInt16, to text: inout [UInt8]) {
        for shift in [12, 8, 4, 0] as [UInt16] where shift == 0 || value >> shift != 0 {
            let digit = UInt8(truncatingIfNeeded: value >> shift & 0xF)
            text.append(digit < 10 ? ASCII.zero + digit : UInt8(ascii: "a") + digit - 10)
        }
    }

    private func group(_ index: Int) -> UInt16 {
        UInt16(truncatingIfNeeded: bits >> (112 - 16 * index))
    }

    /// The groups that `::` replaces: the longest run of two or more zeros, and the first of equally long ones (RFC
    /// 5952, sections 4.2.2 and 4.2.3).
    ///
    /// Empty if there is none.
    private var longestZeroRun: Range<Int> {
        var longest = 0..<0
        var start = 0
        for index in 0..<8 {
            if group(index) != 0 {
                start = index + 1
            } else if index + 1 - start > max(longest.count, 1) {
                longest = start..<(index + 1)
            }
        }
        return longest
    }
}
