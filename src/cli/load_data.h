// The data set of a command.
#pragma once

#include "src/cli/arguments.h"

#include <ganforge/gan.h>

#include <string>
#include <vector>

namespace ganforge {

/// Shows on a terminal how many images are decoded.
std::function<void(std::int64_t done, std::int64_t total)> decoding_progress();

/// --data-memory
Flag data_memory_flag(Residency& to);
/// What a person should know of where the data are, if anything.
void notice_residency(const Dataset& data, std::vector<std::string>& notices);

/// The configuration's data set: images of a folder in the size that its generator makes, and with its channels unless
/// they can follow the data's (set_image_channels) and shall. What a person should know of it is added to `notices`.
/// Throws ShapeError, with the command that helps, if the images of a data set of fixed size are not what the generator
/// makes. `source` is where the configuration comes from.
HostDataset load_data(const Config& config, const std::string& source, bool channels_follow,
                      std::vector<std::string>& notices);

}  // namespace ganforge
