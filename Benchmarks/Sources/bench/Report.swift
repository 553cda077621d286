import FoundationEssentials

/// One figure of a measure, in relation to a reference of the same run. Less is better, whatever the unit.
///
/// Figures of two runs, or of two machines, say little about each other; their ratios do.
struct Figure: Codable {
    let measure: String
    /// What was measured.
    let name: String
    /// With what: "tcp/ipv4", a number of bindings; or empty.
    let traffic: String
    /// Of `best` and `median`.
    let unit: String
    let best: Double
    let median: Double
    /// The name of the figure that the ratios are to, with the same traffic or else with none; nil for one that
    /// is a reference itself.
    let reference: String?
    let bestRatio: Double?
    let medianRatio: Double?
}

extension Figure {
    /// From what was measured, of the case and of its reference.
    init(
        _ measure: String, _ name: String, _ traffic: String = "", unit: String, _ spread: Spread,
        to reference: (name: String, spread: Spread)? = nil
    ) {
        func ratio(_ value: KeyPath<Spread, Double>) -> Double? {
            guard let reference, reference.spread[keyPath: value] > 0 else { return nil }
            return spread[keyPath: value] / reference.spread[keyPath: value]
        }
        self.init(
            measure: measure, name: name, traffic: traffic, unit: unit, best: spread.best, median: spread.median,
            reference: reference?.name, bestRatio: ratio(\.best), medianRatio: ratio(\.median))
    }

    /// The same from samples.
    init(
        _ measure: String, _ name: String, _ traffic: String = "", unit: String, _ samples: Samples,
        to reference: (name: String, samples: Samples)? = nil
    ) {
        self.init(
            measure, name, traffic, unit: unit, samples.spread, to: reference.map { ($0.name, $0.samples.spread) })
    }
}

/// What a case gave in the rounds of a run.
struct Samples {
    private(set) var values: [Double] = []

    init(_ values: [Double] = []) { self.values = values }

    mutating func add(_ value: Double) { values.append(value) }

    var best: Double { values.min() ?? .nan }

    var median: Double {
        let sorted = values.sorted()
        guard !sorted.isEmpty else { return .nan }
        return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
    }

    var spread: Spread { Spread(best: best, median: median) }
}

/// The two numbers that a report keeps of samples.
struct Spread {
    let best: Double
    let median: Double

    /// Without a part that is not meant, such as what a call costs that does nothing. Best less best, since the
    /// least difference of two samples would be the luckiest.
    static func - (whole: Spread, part: Spread) -> Spread {
        Spread(best: whole.best - part.best, median: whole.median - part.median)
    }
}

/// All that one run of a measure gave.
struct Report: Codable {
    let measure: String
    let title: String
    /// What to type for such a run.
    let command: String
    let environment: Environment
    let figures: [Figure]
    /// What a reader must know beside the figures.
    let notes: [String]

    /// One line, so that the reports of several measures are the lines of one file.
    func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }

    /// For people.
    func printTable() {
        print("\(measure): \(title)")
        print("\(command); \(environment)\n")
        var table = TextTable(["", "", "unit", "best", "median", "ratio", "median", "to"], left: [0, 1, 2, 7])
        for figure in figures {
            table.add([
                figure.name, figure.traffic, figure.unit, text(figure.best), text(figure.median),
                figure.bestRatio.map(text) ?? "", figure.medianRatio.map(text) ?? "", figure.reference ?? "",
            ])
        }
        print(table)
        for note in notes { print("* \(note)") }
        print("")
    }

    /// As many digits behind the point as tell something.
    private func text(_ value: Double) -> String { value.fixed(abs(value) < 10 ? 2 : abs(value) < 1000 ? 1 : 0) }
}

/// Columns as wide as what stands in them.
struct TextTable: CustomStringConvertible {
    private var rows: [[String]]
    private let left: Set<Int>

    /// `left`: columns of words; the others hold numbers.
    init(_ head: [String], left: Set<Int>) {
        rows = [head]
        self.left = left
    }

    mutating func add(_ row: [String]) { rows.append(row) }

    var description: String {
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max()! }
        return rows.map { row in
            var line = ""
            for (column, text) in row.enumerated() where widths[column] > 0 {
                let space = String(repeating: " ", count: widths[column] - text.count)
                line += (left.contains(column) ? text + space : space + text) + "  "
            }
            while line.last == " " { line.removeLast() }
            return line + "\n"
        }.joined()
    }
}

extension Double {
    /// With so many digits behind the point.
    func fixed(_ digits: Int) -> String {
        guard isFinite else { return "-" }
        let scale = (0..<digits).reduce(1.0) { scale, _ in scale * 10 }
        let scaled = String(Int((magnitude * scale).rounded()))
        let padded = String(repeating: "0", count: max(0, digits + 1 - scaled.count)) + scaled
        let sign = self < 0 && scaled.contains { $0 != "0" } ? "-" : ""
        return sign + padded.dropLast(digits) + (digits > 0 ? "." + padded.suffix(digits) : "")
    }
}
