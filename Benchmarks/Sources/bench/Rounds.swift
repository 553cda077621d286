import CBench

/// Cases that are measured in turns: each round has a slice of every case, in another order, so that a slow
/// moment of the machine hits all, and none is always the one after a case that emptied the caches.
struct Rounds {
    /// By case, in the order of the rounds.
    private(set) var slices: [[bench_burst]]

    init(_ cases: Int) { slices = Array(repeating: [], count: cases) }

    mutating func run(
        _ rounds: Int, of cases: some Sequence<Int>, random: inout SeededGenerator,
        slice: (Int, inout SeededGenerator) throws -> bench_burst
    ) rethrows {
        var order = Array(cases)
        for _ in 0..<rounds {
            order.shuffle(using: &random)
            for index in order { slices[index].append(try slice(index, &random)) }
        }
    }

    /// A figure for each case, by name; the ratios are to one of them.
    func figures(
        _ measure: String, _ names: [String], _ traffic: String, unit: String,
        _ part: KeyPath<bench_burst, Double> = \.nanoseconds, to reference: String
    ) -> [Figure] {
        let all = slices.indices.map { samples($0, part) }
        let compared = all[names.firstIndex(of: reference)!]
        return zip(names, all).map { name, samples in
            Figure(
                paired: measure, name, traffic, unit: unit, samples,
                to: name == reference ? nil : (reference, compared))
        }
    }

    /// What one datagram, connection or request of a case took.
    private func samples(_ index: Int, _ part: KeyPath<bench_burst, Double> = \.nanoseconds) -> Samples {
        Samples(slices[index].map { $0[keyPath: part] / Double($0.completed) })
    }
}

extension Figure {
    /// With the median of the ratios within a round in place of the ratio of medians: it tells differences of one
    /// in a hundred apart while the machine's own pace changes by more.
    init(
        paired measure: String, _ name: String, _ traffic: String, unit: String, _ samples: Samples,
        to reference: (name: String, samples: Samples)?
    ) {
        let ratios = reference.map { Samples(zip(samples.values, $0.samples.values).map { $0 / $1 }) }
        self.init(
            measure: measure, name: name, traffic: traffic, unit: unit, best: samples.best, median: samples.median,
            reference: reference?.name, bestRatio: reference.map { samples.best / $0.samples.best },
            medianRatio: ratios?.median)
    }

    /// What readers of such figures must know.
    static let pairedNote = "The second ratio is the median over all rounds of the ratio within a round."
}
