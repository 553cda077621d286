// What looking up one name costs in a table of millions: scripts/bench names [--names 20000000], which compiles it with
// the sources of SteeringDNS as one module. Names are random, each is in the table, and hashing it is part of its cost:
// processor time of this thread, best and median of all rounds.

import Glibc

@main struct NameLookups {
    private static let asked = 1 << 20, rounds = 9

    static func main() throws {
        let arguments = CommandLine.arguments
        let count = arguments.count == 3 && arguments[1] == "--names" ? Int(arguments[2]) ?? 0 : 20_000_000
        guard count > 0, arguments.count != 2 else { return print("usage: scripts/bench names [--names COUNT]") }
        let table = try table(count)
        print("\(table.count) names in \(table.size >> 20) MiB")

        var names: [UInt8] = [], offsets: [Int] = []
        var generator = FastGenerator()
        for _ in 0..<asked {
            offsets.append(names.count)
            names += name(Int.random(in: 0..<count, using: &generator))
        }
        // What follows a name in a message.
        names += [0, 1, 0, 1, 0, 0, 0, 0]

        report("one by one, none begun before the last is found", table, names, offsets, oneByOne)
        report("the next name read ahead, as the server does it", table, names, offsets, readAhead)
        report("all of a batch of 64 read ahead", table, names, offsets, batched)
    }

    /// A name as the wire has it: n7.example.com.
    private static func name(_ number: Int) -> [UInt8] {
        let label = Array("n\(number)".utf8)
        return [UInt8(label.count)] + label + Array("\u{7}example\u{3}com\0".utf8)
    }

    private static func table(_ count: Int) throws -> NameTable {
        var builder = NameTable.Builder(), keys = NameKeys()
        builder.reserve(count)
        for number in 0..<count {
            keys.read(name(number).span, at: 0)
            builder.add(keys.last, 2)
        }
        return try builder.table { one, _ in one }
    }

    private typealias Way = (NameTable, Span<UInt8>, [Int]) -> Int

    private static func report(_ title: String, _ table: NameTable, _ names: [UInt8], _ offsets: [Int], _ way: Way) {
        let times = (0..<rounds).map { _ in
            let start = nanoseconds()
            let found = way(table, names.span, offsets)
            precondition(found == 2 * asked, "a name was not found")
            return (nanoseconds() - start) / asked
        }.sorted()
        print("\(times[0]) ns a name, median \(times[rounds / 2]): \(title)")
    }

    private static func oneByOne(_ table: NameTable, _ names: Span<UInt8>, _ offsets: [Int]) -> Int {
        var keys = NameKeys()
        var sum = 0, last = 0
        for index in 0..<offsets.count {
            // Classes are below 2^15 here, which nobody knows before the last one is there.
            keys.read(names, at: offsets[index ^ last >> 15])
            last = Int(table.nameClass(of: keys.last))
            sum += last
        }
        return sum
    }

    private static func readAhead(_ table: NameTable, _ names: Span<UInt8>, _ offsets: [Int]) -> Int {
        var keys = NameKeys(), next = NameKeys()
        var sum = 0
        next.read(names, at: offsets[0])
        for index in 1...offsets.count {
            swap(&keys, &next)
            if index < offsets.count {
                next.read(names, at: offsets[index])
                table.prefetch(next.last)
            }
            sum += Int(table.nameClass(of: keys.last))
        }
        return sum
    }

    private static func batched(_ table: NameTable, _ names: Span<UInt8>, _ offsets: [Int]) -> Int {
        var keys = NameKeys()
        var batch = [NameKey](repeating: keys.last, count: 64)
        var sum = 0
        for start in stride(from: 0, to: offsets.count, by: batch.count) {
            for index in batch.indices {
                keys.read(names, at: offsets[start + index])
                batch[index] = keys.last
                table.prefetch(keys.last)
            }
            for key in batch { sum += Int(table.nameClass(of: key)) }
        }
        return sum
    }

    private static func nanoseconds() -> Int {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return time.tv_sec * 1_000_000_000 + time.tv_nsec
    }
}
