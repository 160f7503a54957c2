#include "src/gan/batch_feed.h"

#include "kernels/philox.h"

#include <cstring>

namespace ganforge {

BatchFeed::BatchFeed(VariableStore& store, const Variable& staged, const Dataset& data, const Variable& tick,
                     const Variable& cursor)
    : device_(store.device()),
      seed_(store.seed()),
      pixels_(data.host_pixels()),
      count_(data.count()),
      rows_(staged.type.shape[1]),
      sample_(data.sample().elements()),
      tick_(tick),
      cursor_(cursor),
      staging_(store.device(), staged.data(), staged.type.bytes() / 2) {}

void BatchFeed::before_run() {
  if (!sent_ || seen_ != cursor_.times_written) {
    std::int64_t tick = 0;
    device_.download(&tick, tick_.data(), sizeof tick);
    device_.download(&position_, cursor_.data(), sizeof position_);
    slot_ = static_cast<int>(tick % 2);
    send_batch();
  }
  staging_.acquire(slot_);
}

void BatchFeed::after_run() {
  staging_.release(slot_);
  position_ += rows_;
  slot_ = 1 - slot_;
  send_batch();
}

void BatchFeed::send_batch() {
  auto* to = static_cast<std::uint8_t*>(staging_.fill(slot_));
  for (std::int64_t row = 0; row < rows_; ++row)
    std::memcpy(to + row * sample_, pixels_.data() + shuffled_sample(seed_, position_ + row, count_) * sample_,
                static_cast<std::size_t>(sample_));
  staging_.send(slot_);
  seen_ = cursor_.times_written;
  sent_ = true;
}

}  // namespace ganforge
