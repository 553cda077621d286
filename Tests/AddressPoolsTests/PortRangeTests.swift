import AddressPools
import Testing

@Suite struct PortRangeTests {
    @Test(
        "a range prints in its canonical form",
        arguments: [
            ("80", "80"), ("0", "0"), ("65535", "65535"), ("8000-8999", "8000-8999"), ("80-80", "80"), ("0-0", "0"),
            ("all", "all"), ("0-65535", "all"), ("1-65535", "1-65535"),
        ])
    func canonical(text: String, expected: String) throws {
        let range = try PortRange(text)
        #expect(range.description == expected)
        #expect(try PortRange(expected) == range)
    }

    @Test(
        "a text that is not exactly one range is refused with the code that says why",
        arguments: [
            ("", AddressError.Code.invalidPort), ("65536", .invalidPort), ("-1", .invalidPort), ("+1", .invalidPort),
            ("080", .invalidPort), ("00", .invalidPort), (" 80", .invalidPort), ("80 ", .invalidPort),
            ("http", .invalidPort),
            ("*", .invalidPort), ("ALL", .invalidPort), ("any", .invalidPort), ("80-", .invalidPort),
            ("-", .invalidPort),
            ("1-2-3", .invalidPort), ("1 - 2", .invalidPort), ("1--2", .invalidPort), ("1..2", .invalidPort),
            ("80,81", .invalidPort),
            ("99999999999", .invalidPort), ("1-65536", .invalidPort), ("8999-8000", .invalidPortRange),
            ("1-0", .invalidPortRange),
        ])
    func refused(text: String, expected: AddressError.Code) {
        #expect(code { try PortRange(text) } == expected)
    }

    @Test("a backward range suggests the right order") func backward() {
        #expect(message { try PortRange("8999-8000") }.contains("8000-8999"))
    }

    @Test("literals make ranges where ranges are expected") func literals() {
        let one: PortRange = 7
        let several: PortRange = 7000...7999
        #expect(one == PortRange(7) && one.lower == 7 && one.upper == 7 && one.count == 1)
        #expect(several == PortRange(7000...7999) && several.count == 1000)
        let (low, high): (UInt16, UInt16) = (3, 9)
        let computed: PortRange = low...high
        #expect(computed == PortRange(low...high))
        #expect(PortRange.all == 0...65535 && PortRange.all.count == 65536)
    }

    @Test("the standard library's ranges stay what they are") func standardRanges() {
        let low: UInt16 = 1
        let range = low...5
        #expect(type(of: range) == ClosedRange<UInt16>.self)
        var sum: UInt16 = 0
        for port in low...3 { sum += port }
        #expect(sum == 6)
        #expect((1...3).count == 3 && [1, 2, 3][1...2] == [2, 3])
    }

    @Test("containment and overlap include both ends") func containment() {
        let range: PortRange = 10...20
        #expect([9, 10, 20, 21].map { range.contains($0 as UInt16) } == [false, true, true, false])
        #expect(range.contains(range) && range.contains(10...19 as PortRange) && !range.contains(10...21 as PortRange))
        #expect(range.overlaps(20...30) && range.overlaps(0...10) && range.overlaps(15) && range.overlaps(.all))
        #expect(!range.overlaps(21...30) && !range.overlaps(0...9))
        #expect(PortRange.all.contains(0 as UInt16) && PortRange.all.contains(65535 as UInt16))
    }

    @Test("ranges sort by their lower end, then by their upper end") func order() {
        let sorted: [PortRange] = [0, 0...9, 1, 1...2, 80, .init(65535)]
        #expect(sorted.reversed().sorted() == sorted)
    }
}
