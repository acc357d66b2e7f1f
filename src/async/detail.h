// Template bodies of async.h.
#pragma once

#include <type_traits>

#include "async/async.h"

namespace gantry {
namespace async_detail {

template <class Handler>
struct HandlerNode final : Suspended::Node {
  HandlerNode(Handler its_handler, Executor its_executor) : Node(its_executor), handler(std::move(its_handler)) {}
  void run() override {
    Handler mine = std::move(handler);
    delete this;
    std::move(mine)();
  }
  Handler handler;
};

template <class Keep>
struct Initiation {
  template <class Handler>
  void operator()(Handler handler, Keep keep) const {
    Executor executor = asio::get_associated_executor(handler);
    keep(Suspended(new HandlerNode<Handler>(std::move(handler), executor)));
  }
};

template <class Work, class Slot>
void fill_slot(Work& work, Slot& slot) {
  if constexpr (std::is_void_v<std::invoke_result_t<Work>>)
    work(), slot.emplace();
  else
    slot.emplace(work());
}

}  // namespace async_detail

template <class Keep>
Task<void> suspend(Keep keep) {
  return asio::async_initiate<const asio::use_awaitable_t<Executor>&, void()>(async_detail::Initiation<Keep>{},
                                                                              use_task, std::move(keep));
}

template <class Work>
Task<Result<std::invoke_result_t<Work>>> BlockingPool::run(Work work) {
  using Value = std::invoke_result_t<Work>;
  if (!try_enter()) co_return fail(Code::exhausted, "the queue for blocking calls is full ({} waiting)", limit_);
  std::optional<Result<Value>> slot;
  // The frame of this coroutine outlives the work: it is suspended until the work resumes it.
  auto keep = [this, &slot, &work](Suspended caller) {
    asio::post(pool_, [this, &slot, &work, waiting = std::make_shared<Suspended>(std::move(caller))] {
      async_detail::fill_slot(work, slot);
      leave();
      std::move(*waiting).resume();
    });
  };
  co_await suspend(keep);
  co_return std::move(*slot);
}

}  // namespace gantry
