import AddressPools
import Testing

@Suite struct PortSetTests {
    @Test(
        "a set prints as the fewest ranges, ascending",
        arguments: [
            ("80", "80"), ("0", "0"), ("443,80", "80,443"), ("80,443,8000-8999", "80,443,8000-8999"), ("1,2,3", "1-3"),
            ("1-5,3-9,9", "1-9"), ("80,80", "80"), ("all", "all"), ("0-65535", "all"), ("0-100,101-65535", "all"),
            ("65535,65534", "65534-65535"), ("1-10,2-3,12", "1-10,12"),
        ])
    func canonical(text: String, expected: String) throws {
        let set = try PortSet(text)
        #expect(set.description == expected)
        #expect(try PortSet(expected) == set)
    }

    @Test(
        "a text that is not a set of ports is refused with the code that says why",
        arguments: [
            ("", AddressError.Code.invalidPortSet), (",", .invalidPortSet), ("80,", .invalidPortSet),
            (",80", .invalidPortSet),
            ("80,,81", .invalidPortSet), ("*", .invalidPortSet), ("80,*", .invalidPortSet), ("80, 81", .invalidPortSet),
            (" 80", .invalidPortSet), ("all,80", .invalidPortSet), ("80,all", .invalidPortSet),
            ("all,", .invalidPortSet),
            ("none", .invalidPort), ("All", .invalidPort), ("80,65536", .invalidPort), ("80;81", .invalidPort),
            ("08", .invalidPort),
            ("9-8", .invalidPortRange), ("1,9-8", .invalidPortRange),
        ])
    func refused(text: String, expected: AddressError.Code) {
        #expect(code { try PortSet(text) } == expected)
    }

    @Test("the refusal of an empty text and of a star names all and port 0", arguments: ["", "*", "80,"])
    func hints(text: String) {
        let message = message { try PortSet(text) }
        #expect(message.contains("all for every port") && message.contains("0 is only port 0"))
    }

    @Test("an array literal takes ports and ranges") func literals() {
        let ports: PortSet = [7, 7000...7999]
        #expect(ports.description == "7,7000-7999")
        #expect(ports.count == 1001)
        #expect(PortSet.all.count == 65536 && PortSet.all == [0...65535])
        let same: PortSet = [7000...7500, 7501...7999]
        #expect(PortSet(7000...7999) == same)
    }

    @Test("the empty set holds nothing and is read from no text") func empty() {
        let empty: PortSet = []
        #expect(empty.isEmpty && empty.count == 0 && empty.description == "none")
        #expect(!empty.contains(0 as UInt16) && !empty.overlaps(.all) && PortSet.all.intersection(empty) == empty)
    }

    @Test("the longest canonical text is read") func longest() throws {
        let set = PortSet((0...32767).map { PortRange($0 * 2) })
        #expect(set.count == 32768)
        #expect(try PortSet(set.description) == set)
    }

    @Test("set operations agree with sets of numbers") func model() throws {
        var generator = SplitMix64(seed: 7)
        // Both ends of the port space, where an off-by-one would overflow.
        let universe = Array(0...40) + Array(65_495...65_535)
        func random() -> (PortSet, Set<UInt16>) {
            var ranges: [PortRange] = []
            var model: Set<UInt16> = []
            for _ in 0..<Int.random(in: 0...5, using: &generator) {
                let base: Int = Bool.random(using: &generator) ? 0 : 65_495
                let low = Int.random(in: 0...40, using: &generator)
                let high = min(40, low + Int.random(in: 0...8, using: &generator))
                ranges.append(PortRange(UInt16(base + low)...UInt16(base + high)))
                model.formUnion((base + low...base + high).map { UInt16($0) })
            }
            return (PortSet(ranges), model)
        }
        for _ in 0..<3_000 {
            let (a, modelA) = random()
            let (b, modelB) = random()
            #expect(a.count == modelA.count)
            #expect(universe.allSatisfy { a.contains(UInt16($0)) == modelA.contains(UInt16($0)) })
            #expect(a.overlaps(b) == !modelA.isDisjoint(with: modelB))
            let common = modelA.intersection(modelB)
            #expect(a.intersection(b) == PortSet(common.map { PortRange($0) }))
            #expect(a.isEmpty || (try? PortSet(a.description)) == a)
            for range in b.ranges {
                #expect(a.contains(range) == (range.lower...range.upper).allSatisfy { modelA.contains($0) })
            }
        }
    }
}
