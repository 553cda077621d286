import FoundationEssentials

/// One row of the result. Ratios compare what comes on top of an empty program.
struct Measurement: Codable {
    let name: String
    let traffic: String
    /// A call, with all that BPF_PROG_TEST_RUN adds.
    let nanoseconds: Double
    let aboveEmpty: Double
    let ratioToFloor: Double
    /// The same for the median of the loads: luck with the place of the code left out.
    let medianAboveEmpty: Double
    let medianRatioToFloor: Double
}

func printTable(_ results: [Measurement]) {
    let width = results.reduce(0) { max($0, $1.name.count + $1.traffic.count + 1) }
    func row(_ name: String, _ nanoseconds: String, _ ratio: String) {
        print(padded(name, width, left: true) + padded(nanoseconds, 16) + padded(ratio, 16))
    }
    row("case", "ns above empty", "ratio to floor")
    for result in results {
        row("\(result.name) \(result.traffic)", text(result.aboveEmpty, 1), text(result.ratioToFloor, 2))
    }
}

private func padded(_ text: String, _ width: Int, left: Bool = false) -> String {
    let space = String(repeating: " ", count: max(0, width - text.count))
    return left ? text + space : space + text
}

/// With one or two digits behind the point.
private func text(_ value: Double, _ digits: Int) -> String {
    let scale = digits == 1 ? 10 : 100
    let scaled = Int((abs(value) * Double(scale)).rounded())
    let fraction = String(scaled % scale)
    let zeros = String(repeating: "0", count: digits - fraction.count)
    return "\(value < 0 && scaled > 0 ? "-" : "")\(scaled / scale).\(zeros)\(fraction)"
}
