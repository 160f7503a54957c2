// Choosing a convolution's kernel by measuring.
#pragma once

#include "kernels/conv2d.h"

#include <ganforge/device.h>

namespace ganforge {

/// If the device's policy says so: times all candidates for a convolution that has not been measured and puts the name
/// of the fastest into the policy.
void tune_conv2d(Device& device, ConvDirection direction, const ConvShape& shape, const ConvEpilogue& epilogue);

}  // namespace ganforge
