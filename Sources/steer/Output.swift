import Foundation
import Journal
import Steering

/// JSON as this command prints it: sorted keys, one line.
enum JSON {
    static func text(_ value: some Encodable) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // What is encoded here has no number that is not one, which is all that could fail.
        return String(decoding: try! encoder.encode(value), as: UTF8.self)
    }
}

/// Columns for people: aligned, the heading bold on a terminal.
struct Table {
    private let heading: [String]
    private var rows: [[String]] = []

    init(_ heading: String...) { self.init(heading) }

    init(_ heading: [String]) { self.heading = heading }

    mutating func add(_ cells: String...) { add(cells) }

    mutating func add(_ cells: [String]) { rows.append(cells) }

    /// The table's lines; numbers are to the right.
    func text(onTerminal: Bool = Terminal.isOutput) -> String {
        let columns = heading.indices
        // All that stands in a table is ASCII, but for names of processes.
        let widths = columns.map { column in
            rows.reduce(heading[column].utf8.count) { max($0, $1[column].utf8.count) }
        }
        let isNumeric = columns.map { column in
            !rows.isEmpty && rows.allSatisfy { $0[column].utf8.allSatisfy(Self.isNumeric) }
        }

        var text = ""
        func add(_ cells: [String]) {
            for column in columns {
                let space = String(repeating: " ", count: widths[column] - cells[column].utf8.count)
                let isLast = column == columns.last
                text += isNumeric[column] ? space + cells[column] : isLast ? cells[column] : cells[column] + space
                if !isLast { text += "  " }
            }
        }
        add(heading)
        if onTerminal { text = Terminal.bold(text) }
        for row in rows {
            text += "\n"
            add(row)
        }
        return text
    }

    private static func isNumeric(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "-")
    }
}

/// What standard output is.
enum Terminal {
    /// A terminal that may be coloured: NO_COLOR is empty (no-color.org), and it obeys escape sequences.
    static let isOutput = isInteractive && (getenv("NO_COLOR").map { $0.pointee == 0 } ?? true)

    /// A terminal that obeys escape sequences.
    static let isInteractive = isatty(STDOUT_FILENO) == 1 && getenv("TERM").map { strcmp($0, "dumb") != 0 } ?? true

    /// Sees that what was printed has been written.
    static func finish() throws(SteeringError) {
        guard fflush(nil) != 0 else { return }
        throw SteeringError(
            .systemCall,
            "the output could not be written, all of it (\(String(cString: strerror(errno)))): send it elsewhere")
    }

    /// Prints a line to standard error.
    static func complain(_ line: String, _ priority: Journal.Priority = .error) { Journal.print(line, priority) }

    static func bold(_ text: String) -> String { "\u{1b}[1m\(text)\u{1b}[0m" }

    static func colored(_ text: String, _ code: Int) -> String {
        isOutput ? "\u{1b}[\(code)m\(text)\u{1b}[0m" : text
    }
}
