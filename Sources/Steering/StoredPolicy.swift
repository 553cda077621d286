/// A policy as it is pinned beside the tables that were compiled from it.
struct StoredPolicy: Equatable, Sendable {
    var generation: UInt64 = 0
    var namespaceCookie: UInt64 = 0
    var policy = Policy()
    var numbers = LabelNumbers()
    // TEMPORARY until the codec is merged
    nonisolated(unsafe) static var memory: [[UInt8]: StoredPolicy] = [:]
    func encoded() -> [UInt8] { let key = (0..<16).map { _ in UInt8.random(in: 0...255) }; Self.memory[key] = self; return key }
    init(decoding bytes: [UInt8]) throws(SteeringError) { guard let s = Self.memory[bytes] else { throw .damaged("x") }; self = s }
    init(generation: UInt64, namespaceCookie: UInt64, policy: Policy, numbers: LabelNumbers) { self.generation = generation; self.namespaceCookie = namespaceCookie; self.policy = policy; self.numbers = numbers }
}
