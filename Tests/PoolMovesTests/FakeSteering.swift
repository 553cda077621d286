import AddressPools
import Documents
import PoolMoves
import SteeringDNS

/// A policy: the prefixes on which each service is bound, and a label's options.
struct FakePolicy: SteeredPolicy, Equatable {
    var services: [String: PrefixPool] = [:]
    var options = ""

    private var steered: PrefixPool { services.values.reduce(PrefixPool()) { $0.union($1) } }

    func unsteered(in pool: PrefixPool) -> PrefixPool { pool.subtracting(steered) }

    func services(ofAll pool: PrefixPool) -> [String] {
        services.keys.sorted().filter { pool.subtracting(services[$0]!).isEmpty }
    }

    func unsteered(_ service: String, in pool: PrefixPool) -> PrefixPool { pool.subtracting(services[service]!) }
}

enum FakeFailure: MoveFailure {
    case refused(String), busy(String), broken

    var sentence: String {
        switch self {
        case .refused(let sentence): sentence
        case .busy(let sentence): "busy: \(sentence)"
        case .broken: "broken"
        }
    }
}

/// The steering of a ``World``, on which the policy file binds `tcp 80` on every pool.
struct FakeSteering: PoolSteering {
    let world: World

    /// Counts a call, of which one can fail.
    private func called() throws(FakeFailure) {
        let fails = world.state.withLock { state in
            state.calls += 1
            return state.calls == state.failing
        }
        world.observe()
        if fails { throw .broken }
    }

    func wantedPolicy() throws(FakeFailure) -> FakePolicy {
        try called()
        guard let outline = try? NamePolicyOutline(contentsOf: world.policy) else { throw .refused("no policy") }
        var policy = world.state.withLock { $0.written }
        let pools = outline.pools.pools.map(\.addresses).reduce(PrefixPool()) { $0.union($1) }
        policy.services["tcp 80"] = pools.subtracting(policy.services["none"] ?? PrefixPool())
        policy.services["none"] = nil
        return policy
    }

    func policyInForce() throws(FakeFailure) -> FakePolicy {
        try called()
        return world.state.withLock { $0.inForce }
    }

    func apply(_ policy: FakePolicy) throws(FakeFailure) {
        try called()
        world.state.withLock { state in
            state.inForce = policy
            state.applied.append(policy)
        }
        world.observe()
    }

    func changes(from former: FakePolicy, to wanted: FakePolicy) throws(FakeFailure) -> [PolicyChange] {
        try called()
        var changes: [PolicyChange] = []
        for service in Set(former.services.keys).union(wanted.services.keys).sorted() {
            let (old, new) = (former.services[service] ?? PrefixPool(), wanted.services[service] ?? PrefixPool())
            changes += (new.subtracting(old).prefixes + old.subtracting(new).prefixes)
                .map { PolicyChange($0, "'\(service) \($0)'") }
        }
        return changes + (former.options == wanted.options ? [] : [PolicyChange(nil, "the label web")])
    }

    func unrouted(in pool: PrefixPool) throws(FakeFailure) -> String? {
        try called()
        let lost = world.state.withLock { $0.unrouted }.intersection(pool)
        return lost.isEmpty ? nil : "\(lost) is not delivered here"
    }

    func socketless(_ services: [String], _ families: [IPFamily]) throws(FakeFailure) -> String? {
        try called()
        let missing = world.state.withLock { $0.socketless }.filter(families.contains)
        guard let service = services.first, let family = missing.first else { return nil }
        return "\(service) \(family) has no socket"
    }

    func countArrivals(
        at parts: [IPPrefix]
    ) throws(FakeFailure) -> () throws(FakeFailure) -> [(prefix: IPPrefix, packets: UInt64)] {
        try called()
        world.state.withLock { $0.packets = [:] }
        return { [world] () throws(FakeFailure) in
            world.state.withLock { $0.packets }.filter { count in parts.contains { $0.contains(count.key) } }
                .map { ($0.key, $0.value) }
        }
    }

    func remedy() throws(FakeFailure) -> String { "steer apply \(world.policy)" }
}

extension World {
    var steering: FakeSteering { FakeSteering(world: self) }
}
