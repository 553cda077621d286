import Glibc
import Logging
import PolicyFiles
import Steering

/// Keeping the steering's map consistent with the held sockets, through failures, reloads and restarts.
extension SocketKeeper {
    /// Registers held sockets of a label that are not registered, if no other socket has their place.
    func reinstate(_ label: Label) {
        deputy.begin(.label(label), label)
        for socket in holdings[label] {
            do throws(SteeringError) {
                try registered.register([(socket.descriptor.rawValue, socket.facts)], as: label)
            } catch {
                // Once it is no longer locked, `correct` registers it.
                if error.code == .busy, !deputy.isLocked(socket.facts.cookie) {
                    return postpone(.reinstate(label), error)
                }
                logger.warning(
                    "not registered",
                    metadata: [
                        "label": "\(label)", "socket": "\(socket)", "message": "\(error.message)",
                    ])
            }
        }
    }

    private func postpone(_ task: PostponedWork.Task, _ error: SteeringError) {
        guard postponed.add(task) else { return }
        logger.warning("trying again until it succeeds", metadata: ["message": "\(error.message)"])
    }

    /// Does what was postponed; stops at a task that must wait again.
    private func resume() {
        while let task = postponed.next() {
            switch task {
            case .reinstate(let label): reinstate(label)
            case .reload: try? reloadEventually()
            }
        }
        if postponed.isDone() { logger.info("what was postponed is done") }
    }

    /// The time until the next attempt of what was postponed.
    var nextTurn: Duration? { postponed.nextTurn }

    /// Rereads the policy file, later if another process is changing the steering now.
    ///
    /// - Throws: As ``reload()``.
    func reloadEventually() throws(SteeringError) {
        do throws(SteeringError) { try reload() } catch {
            if error.code == .busy { postpone(.reload, error) }
            throw error
        }
    }

    /// Rereads the policy file: permissions and bindings. A file that cannot be applied changes nothing.
    func reload() throws(SteeringError) {
        do throws(SteeringError) {
            // Reading a large file takes long: not while another process is changing the steering.
            do throws(SteeringError) { try steering.update { _ in } } catch { if error.code == .busy { throw error } }
            let service = try ServiceFile.read(policyFile)
            try apply(service.policy)
            authority = Authority(service)
            onDemand?.reload()
            reinstateAll()
            state.reloaded(service)
            logger.info("policy reloaded", metadata: ["bindings": "\(service.policy.count)"])
        } catch {
            // That says nothing about the file.
            if error.code == .busy { throw error }
            state.failed(error)
            logger.error(
                "policy not reloaded", metadata: ["code": "\(error.code)", "message": "\(error.message)"])
            throw error
        }
    }

    /// Checks from time to time whether the steering was replaced by another, and registers the held sockets with that.
    func lookAfterSteering() {
        resume()
        guard state.isReplaced() else { return }
        logger.warning("the steering was unloaded and loaded again: registering what is held")
        reinstateAll()
    }

    private func reinstateAll() {
        for label in holdings.labels {
            // Where one has to wait, so do the others.
            if postponed.tasks.isEmpty { reinstate(label) } else { _ = postponed.add(.reinstate(label)) }
        }
    }

    /// Corrects what processes that were given up have done after all, when they got the lock that they waited for.
    func correct() {
        let ended = deputy.takeEnded()
        guard !ended.isEmpty else { return }
        for (label, late) in ended {
            guard let late else { continue }
            try? registered.remove(late)
            reinstate(label)
        }
        let stored = locked
        locked = []
        if !stored.isEmpty { restore(stored) }
    }

    /// Applies a policy. Without capabilities only the policy in force can be applied; another needs CAP_BPF.
    private func apply(_ policy: Policy) throws(SteeringError) {
        do throws(SteeringError) { try steering.apply(policy) } catch {
            throw error.code == .missingCapability || error.errno == EPERM ? .cannotApply(policyFile) : error
        }
    }

    /// Takes over the descriptors that the service manager stored for a previous steerd.
    func restore(_ stored: [StoredDescriptor]) {
        for one in stored {
            let label = one.name.label
            if case .process(let pid) = one.name.kind {
                onDemand?.serves(label, pid, one.descriptor)
                continue
            }
            do throws(SteeringError) {
                deputy.begin(.label(label), label)
                let facts = try inspect([one.descriptor])[0].get()
                if holdings[label].contains(where: { $0.facts.cookie == facts.cookie }) { continue }
                guard holdings[label].count < limits.socketsPerLabel else {
                    throw .full("label \(label)", limits.socketsPerLabel)
                }
                guard holdings.count < limits.sockets else { throw .full("steerd", limits.sockets) }
                holdings[label].append(Holding(descriptor: one.descriptor, facts: facts))
            } catch {
                if error.code == .busy { locked.append(one) } else { manager?.forget(one.name) }
                logger.warning(
                    error.code == .busy ? "a stored socket is locked" : "a stored socket is no longer held",
                    metadata: ["label": "\(label)", "code": "\(error.code)", "message": "\(error.message)"])
            }
        }
        for label in holdings.labels { onDemand?.hold(holdings[label].map(\.descriptor), label) }
        reinstateAll()
        if holdings.count > 0 { logger.info("took stored sockets back", metadata: ["sockets": "\(holdings.count)"]) }
    }
}

extension SteeringError {
    fileprivate static func cannotApply(_ path: String) -> SteeringError {
        SteeringError(
            .missingCapability,
            "the bindings of \(path) are not those in force, and steerd has given up its capabilities: "
                + "run steer apply \(path) first")
    }
}
