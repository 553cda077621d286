// The zone reader fed with whatever libFuzzer thinks of. scripts/fuzz compiles it with the sources of SteeringDNS as one
// module. An input is a zone file in the directory Tests/fuzz/zone, of which it may include the files.

import AddressPools

private let origin = DNSName(wire: [1, 0x7A, 0])!

func fuzzZones(_ start: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    let input = Array(UnsafeBufferPointer(start: start, count: size))
    guard !generatesMany(input) else { return 0 }
    do throws(ZoneFileError) {
        // scripts/fuzz runs it in the repository.
        let file = try ZoneFile(input, named: "input", directory: "Tests/fuzz/zone", origin: origin)
        precondition(file.records.count == file.lines.count, "each record has a line")
        let printed = file.records.map { ZoneFile.text(of: $0) + "\n" }.joined()
        let again = try ZoneFile(Array(printed.utf8), named: "printed").records
        precondition(again.count == file.records.count, "what is printed has as many records")
        for (one, other) in zip(file.records, again) {
            // The bits of services may have zero bytes at their end, which the text does not show.
            precondition(one == other || one.type.rawValue == 11, "what is printed is read as the same record")
        }
        _ = try? CheckedZone(file, origin: origin)
    } catch {
        precondition(error.file != "printed", "what is printed is read: \(error)")
        precondition(error.line > 0 && error.column > 0, "an error has a place: \(error)")
        precondition(error.message.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7F }, "an error is printable: \(error)")
    }
    return 0
}

/// Whether the input asks for so many records that one input would take seconds.
private func generatesMany(_ input: [UInt8]) -> Bool {
    var digits = 0
    let longest = input.reduce(0) { longest, byte in
        digits = isDigit(byte) ? digits + 1 : 0
        return max(longest, digits)
    }
    return longest > 3 && String(decoding: input, as: UTF8.self).uppercased().contains("$GENERATE")
}
