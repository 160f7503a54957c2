// A model that was trained, for commands that sample from it.
#pragma once

#include "src/cli/open_device.h"

#include <ganforge/gan.h>

#include <filesystem>
#include <memory>
#include <string>

namespace ganforge {

class Trained {
 public:
  /// From a run folder's newest or `best` checkpoint, or a checkpoint. Prints notices. Throws FormatError if it is none
  /// of `ganforge train`.
  Trained(const std::string& run_or_checkpoint, const DeviceArguments& device, bool best = false);

  const Config& config() const { return config_; }
  Device& device() const { return *device_; }
  Trainer& trainer() const { return *trainer_; }

 private:
  Config config_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<Dataset> data_;
  std::unique_ptr<Trainer> trainer_;
};

/// --checkpoint: newest or best.
Flag checkpoint_flag(std::string& to);

/// Images as a grid; points in the plane as a scatter plot, over real ones if `data` is a mixture.
void write_picture(const std::filesystem::path& path, const Samples& samples, const std::string& data);

}  // namespace ganforge
