// Batches of a data set that stays on the host.
#pragma once

#include <ganforge/data.h>
#include <ganforge/store.h>

namespace ganforge {

/// Brings what the prologue would draw at tick and cursor to slot tick mod 2 of `staged`, uint8 [2, rows, …]. While a
/// step runs, the rows of the one that follows are gathered and copied. The position is the host's own count: it is
/// read from the device, and a batch already on its way is dropped, only when something else wrote the cursor, as
/// loading a checkpoint does.
class BatchFeed : public Feed {
 public:
  /// The variables are the store's.
  BatchFeed(VariableStore& store, const Variable& staged, const Dataset& data, const Variable& tick,
            const Variable& cursor);

  void before_run() override;
  void after_run() override;

 private:
  /// Gathers the batch at the position and sends it.
  void send_batch();

  Device& device_;
  std::uint64_t seed_;
  Bytes pixels_;
  std::int64_t count_, rows_, sample_;
  const Variable &tick_, &cursor_;
  Staging staging_;
  std::int64_t position_ = 0;  // of the batch in `slot_`
  int slot_ = 0;
  std::uint64_t seen_ = 0;  // the cursor's times_written that the position belongs to
  bool sent_ = false;
};

}  // namespace ganforge
