/* SPDX-License-Identifier: MIT */
/* Names for people, in the words of Hyper-V's management. */
#include <hvstack/ic.h>

const char *hvs_ic_kind_name(enum hvs_ic_kind kind)
{
	switch (kind) {
	case HVS_IC_HEARTBEAT:
		return "Heartbeat";
	case HVS_IC_KVP:
		return "Key-Value Pair Exchange";
	case HVS_IC_SHUTDOWN:
		return "Shutdown";
	case HVS_IC_TIMESYNC:
		return "Time Synchronization";
	case HVS_IC_VSS:
		return "VSS";
	case HVS_IC_FILECOPY:
		return "Guest Service Interface";
	}
	return "unknown";
}

const char *hvs_ic_primary_name(enum hvs_ic_primary primary)
{
	switch (primary) {
	case HVS_IC_OK:
		return "OK";
	case HVS_IC_DEGRADED:
		return "Degraded";
	case HVS_IC_NON_RECOVERABLE:
		return "Non-Recoverable Error";
	case HVS_IC_NO_CONTACT:
		return "No Contact";
	case HVS_IC_LOST_COMMUNICATION:
		return "Lost Communication";
	}
	return "unknown";
}

const char *hvs_ic_secondary_name(enum hvs_ic_secondary secondary)
{
	switch (secondary) {
	case HVS_IC_DETAIL_NONE:
		return "";
	case HVS_IC_DETAIL_OK:
		return "OK";
	case HVS_IC_DETAIL_MISMATCH:
		return "Protocol Mismatch";
	case HVS_IC_DETAIL_CRITICAL:
		return "Application Critical State";
	case HVS_IC_DETAIL_TIMED_OUT:
		return "Communication Timed Out";
	case HVS_IC_DETAIL_FAILED:
		return "Communication Failed";
	}
	return "unknown";
}

const char *hvs_ic_guest_status_name(uint32_t guest_status)
{
	switch (guest_status) {
	case HVS_IC_S_OK:
		return "done";
	case HVS_IC_E_FAIL:
		return "failed, or its daemon is not running";
	case HVS_IC_E_NO_MORE_ITEMS:
		return "there is no such item";
	case HVS_IC_E_NOT_SUPPORTED:
		return "not supported";
	case HVS_IC_E_INVALID_ARGUMENT:
		return "invalid argument";
	case HVS_IC_E_NOT_FOUND:
		return "not found";
	case HVS_IC_E_EXISTS:
		return "the file exists";
	case HVS_IC_E_DISK_FULL:
		return "its disk is full";
	case HVS_IC_E_MACHINE_LOCKED:
		return "somebody works on it, or it has unsaved work";
	case HVS_IC_E_NOT_CONNECTED:
		return "not connected";
	default:
		return "an error that only the guest knows";
	}
}
