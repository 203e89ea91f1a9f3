/* SPDX-License-Identifier: MIT */
/* What block back ends call. */
#include <hvstack/blockdev.h>

void hvs_blk_complete(struct hvs_blk_req *req, enum hvs_blk_status status)
{
	req->done(req, status);
}
