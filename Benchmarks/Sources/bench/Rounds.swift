/// Cases that are measured in turns: each round has a slice of every case, in another order, so that a slow
/// moment of the machine hits all, and none is always the one after a case that emptied the caches.
struct Rounds {
    /// By case, in the order of the rounds.
    private(set) var samples: [Samples]

    init(_ cases: Int, rounds: Int, slice: (Int) throws -> Double) rethrows {
        var random = RepeatableRandom(seed: 2)
        samples = Array(repeating: Samples(), count: cases)
        var order = Array(0..<cases)
        for _ in 0..<rounds {
            order.shuffle(using: &random)
            for index in order { samples[index].add(try slice(index)) }
        }
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
}
