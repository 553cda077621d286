// The reader of lists of names, fed with whatever libFuzzer thinks of, against a reader that takes one line at a time.
// scripts/fuzz compiles it with the sources of SteeringDNS as one module.

import Documents
import Glibc

/// The list is a file in memory.
private let file: CInt = {
    let path = "/dev/shm/steer-dns-list-\(getpid())"
    let file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    precondition(file >= 0 && unlink(path) == 0)
    return file
}()
private let path = "/proc/self/fd/\(file)"
private let zone = ZoneOrigins([DNSName(unchecked: Array("\u{1}e\0".utf8))])

func fuzzLists(_ start: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    let input = Array(UnsafeBufferPointer(start: start, count: size))
    precondition(ftruncate(file, 0) == 0 && pwrite(file, input, size, 0) == size)
    let expected = PlainList(input)
    var reader = NameListReader(zones: zone)
    do {
        let summary = try reader.read(list: 0, contentsOf: path)
        let table = try reader.table()
        precondition(expected.wrongLine == nil, "line \(expected.wrongLine!) should be refused")
        precondition(summary.names == expected.names.count && table.count == expected.inZone.count)
        precondition(summary.foreign == expected.names.count { !$0.isAtOrBelow(expected.zone) })
        var keys = NameKeys()
        for (name, attributes) in expected.inZone {
            keys.read(name.wire.span, at: 0)
            let memberships = reader.classes.listed[Int(table.nameClass(of: keys.last))].memberships
            precondition(memberships.map(\.attributes) == [attributes.sorted()], "\(name) has \(attributes)")
        }
    } catch {
        // list:LINE:COLUMN: SENTENCE
        let place = "\(error)".dropFirst(path.count + 1).split(separator: ":", maxSplits: 2)
        precondition(Int(place[0]) == expected.wrongLine, "\(error), not in line \(expected.wrongLine ?? 0)")
        precondition(Int(place[1])! >= 1 && Int(place[1])! <= 1 + size, "\(error)")
        precondition("\(error)".utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }, "an error is one line of text")
    }
    return 0
}

/// A list, read in the plainest way.
private struct PlainList {
    let zone = DNSName(unchecked: Array("\u{1}e\0".utf8))
    private(set) var names: [DNSName] = []
    /// The names in the zone, with their attributes.
    private(set) var inZone: [DNSName: Set<String>] = [:]
    /// The first line that is not one of a list, counted from 1.
    private(set) var wrongLine: Int?

    init(_ bytes: [UInt8]) {
        for (index, line) in bytes.split(separator: 10, omittingEmptySubsequences: false).enumerated() {
            guard read(Array(line)) else {
                wrongLine = index + 1
                return
            }
        }
    }

    /// Returns whether the line is in order.
    private mutating func read(_ line: [UInt8]) -> Bool {
        let text = line.drop { " \t\r".utf8.contains($0) }
        var name: [UInt8] = []
        var rest = text
        while let byte = rest.first, !" \t\r#".utf8.contains(byte) {
            let taken = byte != 92 ? 1 : rest.dropFirst().first.map { (48...57).contains($0) ? 4 : 2 } ?? 1
            name += rest.prefix(taken)
            rest = rest.dropFirst(taken)
        }
        if name.isEmpty { return true }
        if let hash = rest.first, hash == 35, rest.count > 1, "#@?$%".utf8.contains(rest[rest.startIndex + 1]) {
            return false
        }
        guard let known = Self.name(name) else { return false }
        names.append(known)
        var attributes: Set<String> = []
        for word in rest.prefix(while: { $0 != 35 }).split(whereSeparator: { " \t\r".utf8.contains($0) }) {
            guard word.count <= 64, word.contains(61), word.first != 61 else { return false }
            attributes.insert(String(decoding: word, as: UTF8.self))
        }
        if known.isAtOrBelow(zone) { inZone[known, default: []].formUnion(attributes) }
        return true
    }

    private static func name(_ text: [UInt8]) -> DNSName? {
        var position = 0, last: [UInt8] = [], isPlain = true
        while position < text.count {
            let byte = text[position]
            if byte == 92 {
                position += 1
                isPlain = false
            } else {
                guard (48...57).contains(byte) || (97...122).contains(byte | 32) || [45, 46, 95].contains(byte) else {
                    return nil
                }
                if byte == 46, position + 1 < text.count {
                    (last, isPlain) = ([], true)
                } else if byte != 46 {
                    last.append(byte)
                }
            }
            position += 1
        }
        guard let name = try? DNSName(String(decoding: text, as: UTF8.self)), name != .root else { return nil }
        if isPlain, last.allSatisfy({ (48...57).contains($0) }) { return nil }
        return name.isWildcard ? nil : name
    }
}
