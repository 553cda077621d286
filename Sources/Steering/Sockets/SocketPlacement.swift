/// A plan for registering sockets, all of them or none: the slots that they get in their destinations.
///
/// It is performed in two phases. First the kernel accepts every socket into a free slot; for one that replaces another
/// socket, that is a stand-in's slot. A failure here is rolled back. Then each replacement gets its own slot, in one
/// step for each destination, and the replaced sockets are removed. By then the kernel has no reason to refuse a
/// socket; if it does, the stand-in remains.
struct SocketPlacement {
    /// A socket to register, and its properties.
    struct Candidate {
        let descriptor: CInt
        let label: Label
        let facts: SteerableSocket
        /// Whether it receives packets only while the label has no other socket. It gets the last slot, even in place
        /// of a stand-in.
        let isStandby: Bool

        init(_ descriptor: CInt, _ label: Label, _ facts: SteerableSocket, isStandby: Bool = false) {
            self.descriptor = descriptor
            self.label = label
            self.facts = facts
            self.isStandby = isStandby
        }

        var registration: Registration {
            var registration = facts.registration
            registration.isStandby = isStandby
            return registration
        }

        var destinations: [Destination] { facts.families.map { Destination(label, $0, facts.transport) } }
    }

    /// The contents of a destination's slots, before and after.
    private struct Change {
        let former: [Registration?]
        var wanted: [Registration?]

        /// The slots that are empty both before and after.
        var spare: [Int] { former.indices.filter { former[$0] == nil && wanted[$0] == nil } }
        var filled: [Int] {
            former.indices.filter { wanted[$0] != nil && wanted[$0]?.cookie != former[$0]?.cookie }
        }
        var emptied: [Int] { former.indices.filter { wanted[$0] == nil && former[$0] != nil } }
    }

    private let candidates: [Candidate]
    private var changes: [Destination: Change] = [:]

    /// Assigns the slots.
    ///
    /// - Parameters:
    ///   - candidates: The sockets to register.
    ///   - replacing: Whether they replace registered sockets.
    ///   - former: Returns the present contents of a destination's slots.
    /// - Throws: `destinationOccupied`; errors of `former`.
    init(
        _ candidates: [Candidate], replacing: Bool, former: (Destination) throws(SteeringError) -> [Registration?]
    ) throws(SteeringError) {
        self.candidates = candidates
        var replaced: Set<Destination> = []
        for candidate in candidates {
            // Members of a group line up behind the first, which replaces the registered sockets.
            let takesPlace = replacing && replaced.isDisjoint(with: candidate.destinations)
            if takesPlace { replaced.formUnion(candidate.destinations) }
            for destination in candidate.destinations {
                if changes[destination] == nil {
                    let slots = try former(destination)
                    changes[destination] = Change(former: slots, wanted: slots)
                }
                try place(candidate.registration, at: destination, takesPlace)
            }
        }
    }

    private mutating func place(
        _ socket: Registration, at destination: Destination, _ takesPlace: Bool
    ) throws(SteeringError) {
        var slots = changes[destination]!.wanted
        let last = slots.indices.last!
        if socket.isStandby {
            slots[last] = socket
        } else if takesPlace {
            slots = slots.map { $0?.isStandby == true ? $0 : nil }
            slots[0] = socket
        } else {
            let others = slots.compactMap { $0 }.filter { !$0.isStandby }
            if others.contains(where: { $0.cookie == socket.cookie }) { return }
            guard others.isEmpty || others.contains(where: { $0.isGroup(with: socket) }) else {
                throw .occupied(destination)
            }
            // Members beyond the number of slots are not an error.
            if let free = slots.firstIndex(where: { $0 == nil }) { slots[free] = socket }
        }
        changes[destination]!.wanted = slots
    }

    /// Those of the sockets that will be registered, one entry for each destination.
    var registered: [RegisteredSocket] {
        let own = Dictionary(grouping: candidates, by: \.label).mapValues { Set($0.map(\.facts.cookie)) }
        return changes.keys.sorted().flatMap { destination in
            let sockets = changes[destination]!.wanted.compactMap { $0 }
            return sockets.enumerated().filter { own[destination.label]!.contains($0.element.cookie) }.map {
                RegisteredSocket(
                    destination: destination, cookie: $0.element.cookie, boundAddress: $0.element.boundAddress,
                    isStandIn: $0.offset > 0, isReuseport: $0.element.isReuseport)
            }
        }
    }

    /// Performs the plan.
    ///
    /// - Parameters:
    ///   - numbers: The numbers of the labels.
    ///   - slots: The slots to fill.
    /// - Throws: `systemCall`. A failure in the first phase has changed nothing.
    func perform(_ numbers: LabelNumbers, in slots: SocketSlots) throws(SteeringError) {
        let descriptors = Dictionary(candidates.map { ($0.facts.cookie, $0.descriptor) }) { first, _ in first }
        func set(_ socket: Registration, _ place: Place) throws(SteeringError) {
            try slots.set(descriptors[socket.cookie]!, socket, at: place.destination, slot: place.slot)
        }
        func clear(_ place: Place) throws(SteeringError) {
            try settled { () throws(SteeringError) in try slots.clear(at: place.destination, slot: place.slot) }
        }

        var steps = Steps()
        do throws(SteeringError) {
            for (destination, change) in changes {
                try steps.take(
                    change, at: destination.number(labelNumber: numbers[destination.label]!), set: set)
            }
        } catch {
            for place in steps.taken { try? clear(place) }
            throw error
        }
        for step in steps.replacements {
            do throws(SteeringError) {
                try settled { () throws(SteeringError) in try set(step.socket, step.place) }
            } catch {
                // Without a stand-in the slot still has its former socket; with one, empty the slot and the stand-in
                // takes over.
                guard step.standIn != nil else { throw error }
                try clear(step.place)
                continue
            }
            if let standIn = step.standIn { try clear(standIn) }
        }
        for place in steps.emptied { try clear(place) }
    }

    private struct Place {
        let destination: UInt32
        let slot: Int
    }

    private struct Steps {
        /// The slots filled so far, which can be rolled back.
        var taken: [Place] = []
        /// The steps of the second phase.
        var replacements: [(socket: Registration, place: Place, standIn: Place?)] = []
        var emptied: [Place] = []

        mutating func take(
            _ change: Change, at destination: UInt32, set: (Registration, Place) throws(SteeringError) -> Void
        ) throws(SteeringError) {
            var spare = change.spare[...]
            for slot in change.filled {
                let socket = change.wanted[slot]!
                let place = Place(destination: destination, slot: slot)
                let isFree = change.former[slot] == nil
                let taken = isFree ? place : spare.popFirst().map { Place(destination: destination, slot: $0) }
                if let taken {
                    self.taken.append(taken)
                    try set(socket, taken)
                }
                if !isFree { replacements.append((socket, place, taken)) }
            }
            emptied += change.emptied.map { Place(destination: destination, slot: $0) }
        }
    }
}
