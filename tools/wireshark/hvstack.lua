-- SPDX-License-Identifier: MIT
-- Wireshark: captures of hvstack (hvrun --capture-vmbus, hvctl channel capture), link type USER0.
-- docs/observability.md describes the header that each packet has in front.
--
-- Nothing here reads beyond what was captured: rd() and walk() see to that, and what is missing is
-- said to be (vmbus.truncated). What has no name here is marked with vmbus.unnamed.

local vmbus = Proto("vmbus", "Hyper-V VMBus")

-- ---- fields ------------------------------------------------------------------------------------

local fields = {}

-- Lua 5.2 has no integer division.
local function div(a, b)
	return math.floor(a / b)
end

-- kind -> constructor, base, bytes
local kinds = {
	u8 = {ProtoField.uint8, base.DEC, 1},
	u16 = {ProtoField.uint16, base.DEC, 2},
	u32 = {ProtoField.uint32, base.DEC, 4},
	u64 = {ProtoField.uint64, base.DEC, 8},
	x8 = {ProtoField.uint8, base.HEX, 1},
	x16 = {ProtoField.uint16, base.HEX, 2},
	x32 = {ProtoField.uint32, base.HEX, 4},
	x64 = {ProtoField.uint64, base.HEX, 8},
}

-- The field "vmbus.ABBR", made when it is asked for first.
local function field(abbr, kind, title, names)
	local name = "vmbus." .. abbr
	if not fields[name] then
		local k = kinds[kind]
		if k then
			fields[name] = k[1](name, title, k[2], names)
		elseif kind == "guid" then
			fields[name] = ProtoField.guid(name, title)
		elseif kind == "text" then
			fields[name] = ProtoField.string(name, title)
		elseif kind == "flag" then
			fields[name] = ProtoField.bool(name, title)
		else
			fields[name] = ProtoField.bytes(name, title)
		end
	end
	return fields[name]
end

local f_truncated = field("truncated", "flag", "Not captured whole")
local f_unnamed = field("unnamed", "flag", "Not known to this dissector")
local f_name = field("name", "text", "Message")
local f_payload = field("payload", "bytes", "Payload")

-- ---- reading -----------------------------------------------------------------------------------

local function truncated(tree)
	tree:add(f_truncated, true):set_generated()
end

local function unnamed(tree)
	tree:add(f_unnamed, true):set_generated()
end

-- The range, or nil if it was not captured.
local function rd(tvb, at, len)
	if at < 0 or len < 1 or at + len > tvb:len() then
		return nil
	end
	return tvb(at, len)
end

-- A number of up to 4 bytes, or nil.
local function le(tvb, at, len)
	local r = rd(tvb, at, len)
	return r and r:le_uint()
end

--[[
A layout is a list of members in their order:
  {KIND, NAME, TITLE, VALUES}   KIND of `kinds`; "guid"
  {"bytes", NAME, TITLE, N}, {"utf16", NAME, TITLE, N}, {"skip", N}
prefix() makes the fields at once, as they must be there before the first packet.
]]
local function prefix(of, layout)
	for _, m in ipairs(layout) do
		if m[1] ~= "skip" then
			local kind = m[1] == "utf16" and "text" or m[1]
			m.field = field(of .. "." .. m[2], kind, m[3],
				type(m[4]) == "table" and m[4] or nil)
		end
	end
	return layout
end

-- Show the members from `at` on. Returns where they end and a table of the numbers among them; nil
-- for the former if they were not captured.
local function walk(tree, tvb, at, layout)
	local values = {}
	for _, m in ipairs(layout) do
		local kind = m[1]
		local len = kind == "skip" and m[2] or kind == "guid" and 16 or
			kinds[kind] and kinds[kind][3] or m[4]
		local r = rd(tvb, at, len)
		if not r then
			if at < tvb:len() or kind ~= "skip" then
				truncated(tree)
			end
			return nil, values
		end
		if kind == "utf16" then
			tree:add(m.field, r, r:le_ustringz())
		elseif kind == "bytes" then
			tree:add(m.field, r)
		elseif kind ~= "skip" then
			tree:add_le(m.field, r)
			if kind ~= "guid" and len <= 4 then
				values[m[2]] = r:le_uint()
			end
		end
		at = at + len
	end
	return at, values
end

-- What is left, as bytes.
local function rest(tree, tvb, at, to)
	local len = math.min(to or tvb:len(), tvb:len()) - at
	local r = rd(tvb, at, len)
	if r then
		tree:add(f_payload, r)
	end
end

-- ---- the header of the capture -----------------------------------------------------------------

local KIND_MESSAGE, KIND_PACKET, KIND_PAYLOAD = 1, 2, 3
local PIPE, SOCKET = 0x10, 0x2000

local header = prefix("capture", {
	{"u8", "version", "Version"},
	{"u8", "kind", "Kind", {"Control message", "Packet", "Payload"}},
	{"u8", "to_guest", "To the guest"},
	{"u8", "header_bytes", "Header length"},
	{"u32", "channel", "Channel"},
	{"u32", "connection", "Connection id"},
	{"u16", "subchannel", "Sub-channel"},
	{"x16", "flags", "Flags of the offer"},
	{"x64", "xid", "Transaction"},
	{"guid", "class", "Class"},
	{"guid", "instance", "Instance"},
})
local HEADER_BYTES = 56

-- ---- control messages --------------------------------------------------------------------------

local status_names = {[0] = "success", [0x8000ffff] = "failed", [0xc0000236] = "refused"}
local relid = {"u32", "relid", "Channel"}
local gpadl = {"x32", "gpadl", "GPADL"}
local vp = {"u32", "vp", "Virtual processor"}
local sint = {"u32", "sint", "SINT"}
local status = {"x32", "status", "Status", status_names}
local downstream = {"u32", "downstream_page", "First page of the ring to the guest"}

local messages = {
	[1] = {"OFFERCHANNEL", {
		{"guid", "class", "Class"}, {"guid", "instance", "Instance"}, {"skip", 16},
		{"x16", "flags", "Flags"}, {"u16", "mmio", "MMIO megabytes"},
		{"bytes", "user_data", "User-defined data", 120}, {"u16", "subchannel", "Sub-channel"},
		{"u16", "mmio_optional", "Optional MMIO megabytes"}, relid,
		{"u8", "monitor", "Monitor id"}, {"u8", "monitored", "Monitor allocated"}}},
	[2] = {"RESCIND_CHANNELOFFER", {relid}},
	[3] = {"REQUESTOFFERS", {}},
	[4] = {"ALLOFFERS_DELIVERED", {}},
	[5] = {"OPENCHANNEL", {
		relid, {"x32", "open_id", "Open id"}, gpadl, vp, downstream,
		{"bytes", "user_data", "User-defined data", 120}}},
	[6] = {"OPENCHANNEL_RESULT", {relid, {"x32", "open_id", "Open id"}, status}},
	[7] = {"CLOSECHANNEL", {relid}},
	[8] = {"GPADL_HEADER", {
		relid, gpadl, {"u16", "range_bytes", "Bytes of ranges"},
		{"u16", "range_count", "Ranges"}}},
	[9] = {"GPADL_BODY", {{"u32", "number", "Number"}, gpadl}},
	[10] = {"GPADL_CREATED", {relid, gpadl, status}},
	[11] = {"GPADL_TEARDOWN", {relid, gpadl}},
	[12] = {"GPADL_TORNDOWN", {gpadl}},
	[13] = {"RELID_RELEASED", {relid}},
	[14] = {"INITIATE_CONTACT", {
		{"u16", "minor", "Version, minor"}, {"u16", "major", "Version, major"}, vp,
		{"u8", "contact_sint", "SINT"}, {"u8", "vtl", "VTL"}, {"skip", 2},
		{"x32", "features", "Features"}, {"x64", "monitor1", "Monitor page to the guest"},
		{"x64", "monitor2", "Monitor page to the host"}}},
	[15] = {"VERSION_RESPONSE", {
		{"u8", "supported", "Supported"}, {"u8", "connection_state", "Connection state"},
		{"skip", 2}, {"x32", "selected", "Connection id, or version before 5.0"}}},
	[16] = {"UNLOAD", {}},
	[17] = {"UNLOAD_RESPONSE", {}},
	[18] = {"OPEN_RESERVED_CHANNEL", {relid, vp, sint, gpadl, downstream}},
	[19] = {"CLOSE_RESERVED_CHANNEL", {relid, vp, sint}},
	[20] = {"CLOSE_RESERVED_RESPONSE", {relid}},
	[21] = {"TL_CONNECT_REQUEST", {
		{"guid", "endpoint", "Endpoint"}, {"guid", "service", "Service"}}},
	[22] = {"MODIFYCHANNEL", {relid, vp}},
	[23] = {"TL_CONNECT_REQUEST_RESULT", {
		{"guid", "endpoint", "Endpoint"}, {"guid", "service", "Service"}, status}},
	[24] = {"MODIFYCHANNEL_RESPONSE", {relid, status}},
	[25] = {"MODIFY_CONNECTION", {
		{"x64", "monitor1", "Monitor page to the guest"},
		{"x64", "monitor2", "Monitor page to the host"}}},
	[26] = {"MODIFY_CONNECTION_RESPONSE", {{"u8", "connection_state", "Connection state"}}},
	[27] = {"PAUSE", {}},
	[28] = {"PAUSE_RESPONSE", {}},
	[29] = {"RESUME", {}},
}
local message_names = {}
for number, m in pairs(messages) do
	message_names[number] = m[1]
	prefix("message", m[2])
end
local f_message = field("message.type", "u32", "Type", message_names)
local page_range = prefix("range", {
	{"u32", "bytes", "Bytes"}, {"u32", "offset", "Offset in the first page"}})
local f_page = field("range.page", "x64", "Page")

-- A range of pages. Returns where it ends; nil: it was not captured whole.
local function pages(tree, tvb, at, words)
	local first = rd(tvb, at, 8)
	if not first then
		truncated(tree)
		return nil
	end
	local sub = tree:add(vmbus, first, "Range")
	local values
	at, values = walk(sub, tvb, at, page_range)
	if not at then
		return nil
	end
	local count = div(values.bytes + values.offset % 4096 + 4095, 4096)
	count = math.min(count, words or 8192, 8192)
	for _ = 1, count do
		local r = rd(tvb, at, 8)
		if not r then
			return nil
		end
		sub:add_le(f_page, r)
		at = at + 8
	end
	return at
end

local function message(tree, tvb)
	local number = le(tvb, 0, 4)
	if not number then
		truncated(tree)
		return "control message"
	end
	tree:add_le(f_message, tvb(0, 4))
	local m = messages[number]
	if not m then
		unnamed(tree)
		return "control message " .. number
	end
	local at, values = walk(tree, tvb, 8, m[2])
	local info = m[1]
	if values.relid then
		info = info .. " channel " .. values.relid
	end
	if values.major then
		info = info .. " " .. values.major .. "." .. values.minor
	end
	if values.status and values.status ~= 0 then
		info = info .. " FAILED"
	end
	if number == 8 and at then
		-- Its pages may go on in GPADL_BODY.
		pages(tree, tvb, at)
	elseif at then
		rest(tree, tvb, at)
	end
	return info
end

-- ---- storage -----------------------------------------------------------------------------------

local scsi_names = {
	[0x00] = "TEST UNIT READY", [0x03] = "REQUEST SENSE", [0x04] = "FORMAT UNIT",
	[0x08] = "READ(6)", [0x0a] = "WRITE(6)", [0x12] = "INQUIRY", [0x15] = "MODE SELECT(6)",
	[0x16] = "RESERVE(6)", [0x17] = "RELEASE(6)", [0x1a] = "MODE SENSE(6)",
	[0x1b] = "START STOP UNIT", [0x1e] = "PREVENT ALLOW MEDIUM REMOVAL",
	[0x23] = "READ FORMAT CAPACITIES", [0x25] = "READ CAPACITY(10)", [0x28] = "READ(10)",
	[0x2a] = "WRITE(10)", [0x2b] = "SEEK(10)", [0x2e] = "WRITE AND VERIFY(10)",
	[0x2f] = "VERIFY(10)", [0x34] = "PRE-FETCH(10)", [0x35] = "SYNCHRONIZE CACHE(10)",
	[0x41] = "WRITE SAME(10)", [0x42] = "UNMAP", [0x43] = "READ TOC/PMA/ATIP",
	[0x46] = "GET CONFIGURATION", [0x4a] = "GET EVENT STATUS NOTIFICATION",
	[0x4d] = "LOG SENSE", [0x51] = "READ DISC INFORMATION", [0x52] = "READ TRACK INFORMATION",
	[0x55] = "MODE SELECT(10)", [0x56] = "RESERVE(10)", [0x57] = "RELEASE(10)",
	[0x5a] = "MODE SENSE(10)", [0x5e] = "PERSISTENT RESERVE IN",
	[0x5f] = "PERSISTENT RESERVE OUT", [0x85] = "ATA PASS-THROUGH(16)", [0x88] = "READ(16)",
	[0x89] = "COMPARE AND WRITE", [0x8a] = "WRITE(16)", [0x8e] = "WRITE AND VERIFY(16)",
	[0x8f] = "VERIFY(16)", [0x90] = "PRE-FETCH(16)", [0x91] = "SYNCHRONIZE CACHE(16)",
	[0x93] = "WRITE SAME(16)", [0x9e] = "SERVICE ACTION IN(16)", [0xa0] = "REPORT LUNS",
	[0xa1] = "ATA PASS-THROUGH(12)", [0xa3] = "MAINTENANCE IN", [0xa4] = "MAINTENANCE OUT",
	[0xa8] = "READ(12)", [0xaa] = "WRITE(12)", [0xac] = "GET PERFORMANCE",
	[0xad] = "READ DVD STRUCTURE", [0xae] = "WRITE AND VERIFY(12)", [0xaf] = "VERIFY(12)",
	[0xb9] = "READ CD MSF", [0xbd] = "MECHANISM STATUS", [0xbe] = "READ CD",
}
-- Opcode * 256 + service action.
local service_actions = {
	[0x9e10] = "READ CAPACITY(16)", [0x9e12] = "GET LBA STATUS",
	[0xa30a] = "REPORT TARGET PORT GROUPS", [0xa30c] = "REPORT SUPPORTED OPERATION CODES",
	[0xa30d] = "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS",
}
local vstor_names = {
	[1] = "COMPLETE_IO", [2] = "REMOVE_DEVICE", [3] = "EXECUTE_SRB", [4] = "RESET_LUN",
	[5] = "RESET_ADAPTER", [6] = "RESET_BUS", [7] = "BEGIN_INITIALIZATION",
	[8] = "END_INITIALIZATION", [9] = "QUERY_PROTOCOL_VERSION", [10] = "QUERY_PROPERTIES",
	[11] = "ENUMERATE_BUS", [12] = "FCHBA_DATA", [13] = "CREATE_SUB_CHANNELS",
}
local vstor = prefix("vstor", {
	{"u32", "operation", "Operation", vstor_names}, {"x32", "flags", "Flags"},
	{"x32", "status", "Status", {[0] = "success"}}})
local srb = prefix("srb", {
	{"u16", "length", "Length"}, {"x8", "srb_status", "SRB status"},
	{"x8", "scsi_status", "SCSI status", {[0] = "GOOD", [2] = "CHECK CONDITION",
		[8] = "BUSY", [0x18] = "RESERVATION CONFLICT"}},
	{"u8", "port", "Port"}, {"u8", "path", "Path"}, {"u8", "target", "Target"},
	{"u8", "lun", "LUN"}, {"u8", "cdb_len", "CDB length"}, {"u8", "sense_len", "Sense length"},
	{"u8", "data_in", "Direction", {[0] = "to the device", [1] = "to the guest", [2] = "none"}},
	{"skip", 1}, {"u32", "transfer", "Bytes to move"}})
local SRB_CDB = 16
local srb_extension = prefix("srb", {
	{"skip", 2}, {"u8", "queue_tag", "Queue tag"}, {"x8", "queue_action", "Queue action"},
	{"x32", "srb_flags", "SRB flags"}, {"u32", "timeout", "Time-out, seconds"},
	{"u32", "sort_key", "Queue sort key"}})
local vstor_version = prefix("vstor", {
	{"u8", "minor", "Version, minor"}, {"u8", "major", "Version, major"},
	{"x16", "revision", "Revision"}})
local vstor_properties = prefix("vstor", {
	{"skip", 4}, {"u16", "max_subchannels", "Sub-channels at most"}, {"skip", 2},
	{"x32", "property_flags", "Flags"}, {"u32", "max_transfer", "Bytes of a transfer at most"}})
local vstor_subchannels = prefix("vstor", {{"u16", "subchannels", "Sub-channels"}})
local f_cdb = field("srb.cdb", "bytes", "CDB")
local f_sense = field("srb.sense", "bytes", "Sense data")
local f_opcode = field("srb.opcode", "x8", "Command", scsi_names)
local f_lba = field("srb.lba", "u64", "Logical block")
local f_blocks = field("srb.blocks", "u32", "Blocks")

-- Where block commands name the block and how many: bytes of the CDB, most significant first.
local block_commands = {}
for op, name in pairs(scsi_names) do
	for _, word in ipairs({"READ", "WRITE", "WRITE AND VERIFY", "VERIFY", "PRE-FETCH",
			"SYNCHRONIZE CACHE", "WRITE SAME"}) do
		for _, size in ipairs({"10", "12", "16"}) do
			if name == word .. "(" .. size .. ")" then
				block_commands[op] = tonumber(size)
			end
		end
	end
end

local function blocks(tree, cdb)
	local size = block_commands[cdb(0, 1):uint()]
	local lba, count
	if not size or cdb:len() < size then
		return ""
	elseif size == 10 then
		lba, count = cdb(2, 4), cdb(7, 2)
	elseif size == 12 then
		lba, count = cdb(2, 4), cdb(6, 4)
	else
		lba, count = cdb(2, 8), cdb(10, 4)
	end
	tree:add(f_lba, lba)
	tree:add(f_blocks, count)
	return string.format(" lba %s, %u", tostring(lba:uint64()), count:uint())
end

-- What was asked, by transaction; and in which packets the answers are, as packets are looked at
-- again and again.
local asked = {}
local answers = {}

local function remember(pinfo, key, what)
	if not pinfo.visited then
		asked[key] = what
	end
end

local function recall(pinfo, key)
	if not pinfo.visited then
		answers[pinfo.number] = asked[key]
		asked[key] = nil
	end
	return answers[pinfo.number]
end

local function show_srb(tree, tvb, at, completion)
	local to, values = walk(tree, tvb, at, srb)
	local info = ""
	if not to then
		return info
	end
	local len = math.min(completion and values.sense_len or values.cdb_len,
		completion and 20 or 16)
	local bytes = rd(tvb, at + SRB_CDB, len)
	if bytes and completion then
		tree:add(f_sense, bytes)
	elseif bytes then
		tree:add(f_cdb, bytes)
		tree:add(f_opcode, bytes(0, 1))
		local op = bytes(0, 1):uint()
		local action = bytes:len() > 1 and service_actions[op * 256 + bytes(1, 1):uint() % 32]
		info = " " .. (action or scsi_names[op] or string.format("command 0x%02x", op)) ..
			blocks(tree, bytes)
	end
	if completion and values.srb_status % 64 ~= 1 then
		info = info .. string.format(" SRB status 0x%02x", values.srb_status)
	end
	if rd(tvb, at + SRB_CDB + 20, 20) then
		walk(tree, tvb, at + SRB_CDB + 20, srb_extension)
	end
	return string.format(" %d:%d:%d%s", values.path, values.target, values.lun, info)
end

local function storage(tree, tvb, pinfo, ctx)
	local op = le(tvb, 0, 4)
	local at, values = walk(tree, tvb, 0, vstor)
	if not op then
		return "VSTOR"
	end
	local info = vstor_names[op]
	if not info then
		unnamed(tree)
		return "VSTOR operation " .. op
	end
	local about = op
	if not ctx.to_guest then
		remember(pinfo, ctx.key, op)
	elseif ctx.completion then
		about = recall(pinfo, ctx.key) or 0
		if vstor_names[about] then
			info = info .. " of " .. vstor_names[about]
		end
	end
	if not at then
		return info
	end
	if values.status ~= 0 then
		info = info .. string.format(" status 0x%08x", values.status)
	end
	if about == 3 or about == 0 then
		info = info .. show_srb(tree, tvb, at, ctx.completion)
	elseif about == 4 then
		info = info .. show_srb(tree, tvb, at, false)
	elseif about == 9 then
		walk(tree, tvb, at, vstor_version)
	elseif about == 10 then
		walk(tree, tvb, at, vstor_properties)
	elseif about == 13 then
		walk(tree, tvb, at, vstor_subchannels)
	else
		rest(tree, tvb, at)
	end
	return info
end

-- ---- network -----------------------------------------------------------------------------------

local nvsp_status = {"u32", "status", "Status", {[0] = "none", [1] = "success", [2] = "failure",
	[3] = "version too new", [4] = "version too old", [5] = "invalid RNDIS packet", [6] = "busy",
	[7] = "protocol not supported"}}
local buffer = {{"x32", "gpadl", "GPADL"}, {"u16", "id", "Id"}}
local id = {{"u16", "id", "Id"}}
local nvsp = {
	[1] = {"INIT", {{"x32", "version", "Version"}, {"x32", "version2", "Version, again"}}},
	[2] = {"INIT_COMPLETE", {{"x32", "version", "Version"},
		{"u32", "max_mdl_chain", "MDLs in a chain at most"}, nvsp_status}},
	[100] = {"SEND_NDIS_VERSION", {{"u32", "major", "Version, major"},
		{"u32", "minor", "Version, minor"}}},
	[101] = {"SEND_RECEIVE_BUFFER", buffer},
	[102] = {"SEND_RECEIVE_BUFFER_COMPLETE", {nvsp_status, {"u32", "sections", "Sections"}}},
	[103] = {"REVOKE_RECEIVE_BUFFER", id},
	[104] = {"SEND_SEND_BUFFER", buffer},
	[105] = {"SEND_SEND_BUFFER_COMPLETE", {nvsp_status,
		{"u32", "section_bytes", "Bytes of a section"}}},
	[106] = {"REVOKE_SEND_BUFFER", id},
	[107] = {"SEND_RNDIS_PACKET", {
		{"u32", "channel_type", "Channel", {[0] = "data", [1] = "control"}},
		{"x32", "section", "Section of the send buffer"},
		{"u32", "section_bytes", "Bytes in it"}}},
	[108] = {"SEND_RNDIS_PACKET_COMPLETE", {nvsp_status}},
	[109] = {"SWITCH_DATA_PATH (WAN)", {}},
	[125] = {"SEND_NDIS_CONFIG", {{"u32", "mtu", "MTU"}, {"skip", 4},
		{"x64", "capabilities", "Capabilities"}}},
	[128] = {"SEND_VF_ASSOCIATION", {{"u32", "allocated", "Allocated"},
		{"u32", "serial", "Serial number"}}},
	[129] = {"SWITCH_DATA_PATH", {{"u32", "path", "Path",
		{[0] = "synthetic", [1] = "virtual function"}}}},
	[130] = {"UPLINK_CONNECT_STATE (old)", {}},
	[131] = {"OID_QUERY_EX", {}},
	[132] = {"OID_QUERY_EX_COMPLETE", {}},
	[133] = {"SUBCHANNEL", {{"u32", "op", "Operation, or status"},
		{"u32", "subchannels", "Sub-channels"}}},
	[134] = {"SEND_INDIRECTION_TABLE", {{"u32", "entries", "Entries"},
		{"u32", "offset", "Offset"}}},
	[135] = {"PD_API", {{"u32", "op", "Operation"}, {"u32", "pd_status", "Status"}}},
}
local nvsp_names = {}
for number, m in pairs(nvsp) do
	nvsp_names[number] = m[1]
	prefix("nvsp", m[2])
end
local f_nvsp = field("nvsp.type", "u32", "Type", nvsp_names)

local function network(tree, tvb)
	local number = le(tvb, 0, 4)
	if not number then
		truncated(tree)
		return "NVSP"
	end
	tree:add_le(f_nvsp, tvb(0, 4))
	local m = nvsp[number]
	if not m then
		unnamed(tree)
		return "NVSP " .. number
	end
	local _, values = walk(tree, tvb, 4, m[2])
	local info = "NVSP " .. m[1]
	if values.status and values.status > 1 then
		info = info .. " status " .. values.status
	end
	if values.channel_type then
		info = info .. (values.channel_type == 1 and " (control)" or " (data)")
	end
	return info
end

local oid_names = {
	[0x00010101] = "GEN_SUPPORTED_LIST", [0x00010102] = "GEN_HARDWARE_STATUS",
	[0x00010103] = "GEN_MEDIA_SUPPORTED", [0x00010104] = "GEN_MEDIA_IN_USE",
	[0x00010105] = "GEN_MAXIMUM_LOOKAHEAD", [0x00010106] = "GEN_MAXIMUM_FRAME_SIZE",
	[0x00010107] = "GEN_LINK_SPEED", [0x00010108] = "GEN_TRANSMIT_BUFFER_SPACE",
	[0x00010109] = "GEN_RECEIVE_BUFFER_SPACE", [0x0001010a] = "GEN_TRANSMIT_BLOCK_SIZE",
	[0x0001010b] = "GEN_RECEIVE_BLOCK_SIZE", [0x0001010c] = "GEN_VENDOR_ID",
	[0x0001010d] = "GEN_VENDOR_DESCRIPTION", [0x0001010e] = "GEN_CURRENT_PACKET_FILTER",
	[0x0001010f] = "GEN_CURRENT_LOOKAHEAD", [0x00010110] = "GEN_DRIVER_VERSION",
	[0x00010111] = "GEN_MAXIMUM_TOTAL_SIZE", [0x00010112] = "GEN_PROTOCOL_OPTIONS",
	[0x00010113] = "GEN_MAC_OPTIONS", [0x00010114] = "GEN_MEDIA_CONNECT_STATUS",
	[0x00010115] = "GEN_MAXIMUM_SEND_PACKETS", [0x00010116] = "GEN_VENDOR_DRIVER_VERSION",
	[0x00010118] = "GEN_NETWORK_LAYER_ADDRESSES", [0x00010202] = "GEN_PHYSICAL_MEDIUM",
	[0x00010203] = "GEN_RECEIVE_SCALE_CAPABILITIES",
	[0x00010204] = "GEN_RECEIVE_SCALE_PARAMETERS", [0x00010206] = "GEN_MAX_LINK_SPEED",
	[0x00010207] = "GEN_LINK_STATE", [0x00010208] = "GEN_LINK_PARAMETERS",
	[0x00010209] = "GEN_INTERRUPT_MODERATION", [0x0001021b] = "GEN_RNDIS_CONFIG_PARAMETER",
	[0x0001021c] = "GEN_VLAN_ID", [0x00020101] = "GEN_XMIT_OK", [0x00020102] = "GEN_RCV_OK",
	[0x00020103] = "GEN_XMIT_ERROR", [0x00020104] = "GEN_RCV_ERROR",
	[0x00020105] = "GEN_RCV_NO_BUFFER", [0x00020106] = "GEN_STATISTICS",
	[0x00020201] = "GEN_DIRECTED_BYTES_XMIT", [0x00020202] = "GEN_DIRECTED_FRAMES_XMIT",
	[0x00020203] = "GEN_MULTICAST_BYTES_XMIT", [0x00020204] = "GEN_MULTICAST_FRAMES_XMIT",
	[0x00020205] = "GEN_BROADCAST_BYTES_XMIT", [0x00020206] = "GEN_BROADCAST_FRAMES_XMIT",
	[0x00020207] = "GEN_DIRECTED_BYTES_RCV", [0x00020208] = "GEN_DIRECTED_FRAMES_RCV",
	[0x00020209] = "GEN_MULTICAST_BYTES_RCV", [0x0002020a] = "GEN_MULTICAST_FRAMES_RCV",
	[0x0002020b] = "GEN_BROADCAST_BYTES_RCV", [0x0002020c] = "GEN_BROADCAST_FRAMES_RCV",
	[0x0002020d] = "GEN_RCV_CRC_ERROR", [0x00020216] = "GEN_FRIENDLY_NAME",
	[0x00020219] = "GEN_BYTES_RCV", [0x0002021a] = "GEN_BYTES_XMIT",
	[0x0002021b] = "GEN_RCV_DISCARDS", [0x0002021c] = "GEN_XMIT_DISCARDS",
	[0x01010101] = "802_3_PERMANENT_ADDRESS", [0x01010102] = "802_3_CURRENT_ADDRESS",
	[0x01010103] = "802_3_MULTICAST_LIST", [0x01010104] = "802_3_MAXIMUM_LIST_SIZE",
	[0x01010105] = "802_3_MAC_OPTIONS", [0x0101010a] = "OFFLOAD_ENCAPSULATION",
	[0x01010208] = "802_3_ADD_MULTICAST_ADDRESS",
	[0x01010209] = "802_3_DELETE_MULTICAST_ADDRESS",
	[0x01020101] = "802_3_RCV_ERROR_ALIGNMENT", [0x01020102] = "802_3_XMIT_ONE_COLLISION",
	[0x01020103] = "802_3_XMIT_MORE_COLLISIONS", [0xfc01020b] = "TCP_OFFLOAD_CURRENT_CONFIG",
	[0xfc01020c] = "TCP_OFFLOAD_PARAMETERS",
	[0xfc01020d] = "TCP_OFFLOAD_HARDWARE_CAPABILITIES",
	[0xfd010100] = "PNP_CAPABILITIES", [0xfd010101] = "PNP_SET_POWER",
	[0xfd010106] = "PNP_ENABLE_WAKE_UP",
}
local request_id = {"x32", "request", "Request id"}
local rndis_status = {"x32", "status", "Status", {[0] = "success", [0xc0000001] = "failure",
	[0xc00000bb] = "not supported", [0xc0010014] = "invalid length",
	[0xc0010015] = "invalid data", [0x4001000b] = "media connect",
	[0x4001000c] = "media disconnect", [0x40010013] = "link speed change",
	[0x40010018] = "network change", [0x40020006] = "offload configuration"}}
local query = {request_id, {"x32", "oid", "OID", oid_names}, {"u32", "info_len", "Bytes"},
	{"u32", "info_off", "Offset"}, {"u32", "vc", "Device VC"}}
local rndis = {
	[1] = {"PACKET", {{"u32", "data_off", "Data offset"}, {"u32", "data_len", "Data length"},
		{"u32", "oob_off", "Out-of-band offset"}, {"u32", "oob_len", "Out-of-band length"},
		{"u32", "oob_count", "Out-of-band elements"},
		{"u32", "ppi_off", "Per-packet information offset"},
		{"u32", "ppi_len", "Per-packet information length"}, {"skip", 8}}},
	[2] = {"INITIALIZE", {request_id, {"u32", "major", "Version, major"},
		{"u32", "minor", "Version, minor"}, {"u32", "max_transfer", "Transfer at most"}}},
	[3] = {"HALT", {request_id}},
	[4] = {"QUERY", query},
	[5] = {"SET", query},
	[6] = {"RESET", {}},
	[7] = {"INDICATE_STATUS", {rndis_status, {"u32", "info_len", "Bytes"},
		{"u32", "info_off", "Offset"}}},
	[8] = {"KEEPALIVE", {request_id}},
	[9] = {"SET_EX", query},
	[0x80000002] = {"INITIALIZE_COMPLETE", {request_id, rndis_status,
		{"u32", "major", "Version, major"}, {"u32", "minor", "Version, minor"},
		{"x32", "device_flags", "Device flags"}, {"u32", "medium", "Medium"},
		{"u32", "max_packets", "Packets of a message at most"},
		{"u32", "max_transfer", "Transfer at most"}, {"u32", "alignment", "Alignment"}}},
	[0x80000004] = {"QUERY_COMPLETE", {request_id, rndis_status, {"u32", "info_len", "Bytes"},
		{"u32", "info_off", "Offset"}}},
	[0x80000005] = {"SET_COMPLETE", {request_id, rndis_status}},
	[0x80000006] = {"RESET_COMPLETE", {rndis_status, {"u32", "addressing", "Addressing reset"}}},
	[0x80000008] = {"KEEPALIVE_COMPLETE", {request_id, rndis_status}},
	[0x80000009] = {"SET_EX_COMPLETE", {request_id, rndis_status, {"u32", "info_len", "Bytes"},
		{"u32", "info_off", "Offset"}}},
}
local rndis_names = {}
for number, m in pairs(rndis) do
	rndis_names[number] = m[1]
	prefix("rndis", m[2])
end
local f_rndis = field("rndis.type", "x32", "Type", rndis_names)
local f_rndis_len = field("rndis.length", "u32", "Length")
local f_info = field("rndis.information", "bytes", "Information")
local ppi_names = {[0] = "checksum", [2] = "large send", [4] = "original packet",
	[6] = "VLAN", [7] = "original netbuffer", [8] = "hash value", [9] = "hash information",
	[10] = "cancel id", [0x80000001] = "packet id"}
local f_ppi = field("rndis.ppi.type", "x32", "Per-packet information", ppi_names)
local f_ppi_value = field("rndis.ppi.value", "bytes", "Value")
local f_frame = field("rndis.frame", "bytes", "Frame")
local ethernet = Dissector.get("eth_withoutfcs")

local function show_ppi(tree, tvb, at, len)
	local to = at + len
	while at + 12 <= to do
		local size, off = le(tvb, at, 4), le(tvb, at + 8, 4)
		if not off then
			truncated(tree)
			return
		end
		if size < 12 or at + size > to then
			return
		end
		tree:add_le(f_ppi, tvb(at + 4, 4))
		local value = off <= size and rd(tvb, at + off, size - off)
		if value then
			tree:add(f_ppi_value, value)
		end
		at = at + size
	end
end

-- One message; offsets in it count from its ninth byte.
local function rndis_message(tree, tvb, pinfo, root)
	local number = le(tvb, 0, 4)
	if not number or not le(tvb, 4, 4) then
		truncated(tree)
		return "RNDIS"
	end
	tree:add_le(f_rndis, tvb(0, 4))
	tree:add_le(f_rndis_len, tvb(4, 4))
	local m = rndis[number]
	if not m then
		unnamed(tree)
		return string.format("RNDIS 0x%x", number)
	end
	local at, values = walk(tree, tvb, 8, m[2])
	local info = "RNDIS " .. m[1]
	if values.oid then
		info = info .. " " .. (oid_names[values.oid] or string.format("OID 0x%08x", values.oid))
	end
	if values.status and values.status ~= 0 then
		info = info .. string.format(" status 0x%08x", values.status)
	end
	if not at then
		return info
	end
	if values.info_len and values.info_len > 0 then
		local r = rd(tvb, 8 + values.info_off, values.info_len)
		if r then
			tree:add(f_info, r)
		else
			truncated(tree)
		end
	end
	if number == 1 then
		show_ppi(tree, tvb, 8 + values.ppi_off, values.ppi_len)
		local frame = rd(tvb, 8 + values.data_off, values.data_len)
		if not frame then
			truncated(tree)
		elseif ethernet then
			-- Another dissector's complaint about a frame is no error of this one.
			pcall(ethernet.call, ethernet, frame:tvb(), pinfo, root)
			return nil
		else
			tree:add(f_frame, frame)
		end
	end
	return info
end

-- ---- integration components --------------------------------------------------------------------

local ic_names = {[0] = "NEGOTIATE", [1] = "HEARTBEAT", [2] = "KVP", [3] = "SHUTDOWN",
	[4] = "TIMESYNC", [5] = "VSS", [6] = "RDV", [7] = "FILE_COPY"}
local ic = prefix("ic", {
	{"u16", "framework_major", "Framework, major"}, {"u16", "framework_minor", "Framework, minor"},
	{"u16", "type", "Type", ic_names}, {"u16", "major", "Service, major"},
	{"u16", "minor", "Service, minor"}, {"u16", "body", "Bytes of the body"},
	{"x32", "status", "Status", {[0] = "success"}}, {"u8", "transaction", "Transaction"},
	{"x8", "flags", "Flags"}, {"skip", 2}})
local negotiation = prefix("ic.negotiate", {
	{"u16", "frameworks", "Versions of the framework"},
	{"u16", "services", "Versions of the service"}, {"skip", 4}})
local f_version = field("ic.negotiate.version", "text", "Version")
local heartbeat = prefix("ic.heartbeat", {
	{"u64", "sequence", "Sequence number"}, {"u32", "application", "Application state"}})
local shutdown = prefix("ic.shutdown", {
	{"x32", "reason", "Reason"}, {"u32", "timeout", "Time-out, seconds"}, {"x32", "flags", "Flags"},
	{"utf16", "text", "Text", 2048}})
local timesync = prefix("ic.timesync", {
	{"u64", "host_time", "Host's time, 100 ns"}, {"u64", "guest_time", "Guest's time"},
	{"u64", "round_trip", "Round trip"}, {"x8", "flags", "Flags"}})
local timesync4 = prefix("ic.timesync", {
	{"u64", "host_time", "Host's time, 100 ns"}, {"u64", "reference", "Reference time, 100 ns"},
	{"x8", "flags", "Flags"}, {"u8", "leap", "Leap indicator"}, {"u8", "stratum", "Stratum"}})
local kvp_op_names = {[0] = "GET", [1] = "SET", [2] = "DELETE", [3] = "ENUMERATE",
	[4] = "GET_IP_INFO", [5] = "SET_IP_INFO"}
local kvp_head = prefix("ic.kvp", {
	{"u8", "op", "Operation", kvp_op_names},
	{"u8", "pool", "Pool", {[0] = "external", [1] = "guest", [2] = "auto", [3] = "auto-external"}}})
local kvp_value = prefix("ic.kvp", {
	{"u32", "type", "Type of the value"}, {"u32", "key_bytes", "Bytes of the key"},
	{"u32", "value_bytes", "Bytes of the value"}, {"utf16", "key", "Key", 512},
	{"utf16", "value", "Value", 2048}})
local kvp_delete = prefix("ic.kvp", {
	{"u32", "key_bytes", "Bytes of the key"}, {"utf16", "key", "Key", 512}})
local kvp_index = prefix("ic.kvp", {{"u32", "index", "Index"}})
local kvp_ip = prefix("ic.kvp", {
	{"utf16", "adapter", "Adapter", 256}, {"x8", "family", "Families"}, {"u8", "dhcp", "DHCP"},
	{"utf16", "addresses", "Addresses", 2048}, {"utf16", "subnets", "Subnets", 2048},
	{"utf16", "gateways", "Gateways", 1024}, {"utf16", "dns", "DNS servers", 2048}})
local kvp_ip5 = prefix("ic.kvp", {
	{"u32", "ipv4_count", "IPv4 addresses"}, {"u32", "ipv6_count", "IPv6 addresses"},
	{"u32", "gateway4_count", "IPv4 gateways"}, {"u32", "gateway6_count", "IPv6 gateways"},
	{"u32", "dns4_count", "IPv4 DNS servers"}, {"u32", "dns6_count", "IPv6 DNS servers"},
	{"utf16", "adapter", "Adapter", 256}, {"x8", "family", "Families"}, {"u8", "dhcp", "DHCP"},
	{"skip", 2}})
local vss_op_names = {[0] = "CREATE", [1] = "DELETE", [2] = "HOT_BACKUP", [3] = "GET_DM_INFO",
	[4] = "COMPLETE", [5] = "FREEZE", [6] = "THAW", [7] = "AUTO_RECOVER"}
local vss = prefix("ic.vss", {
	{"u8", "op", "Operation", vss_op_names}, {"skip", 7}, {"x32", "flags", "Flags, or type"}})
local copy_op_names = {[0] = "START", [1] = "WRITE", [2] = "COMPLETE", [3] = "CANCEL"}
local copy_head = prefix("ic.filecopy", {{"u32", "op", "Operation", copy_op_names}, {"skip", 32}})
local copy_start = prefix("ic.filecopy", {
	{"utf16", "name", "Name", 520}, {"utf16", "path", "Path", 520}, {"x32", "flags", "Flags"},
	{"u64", "bytes", "Size"}})
local copy_write = prefix("ic.filecopy", {
	{"skip", 4}, {"u64", "offset", "Offset"}, {"u32", "len", "Bytes"}})

local function op_name(tree, names, op)
	if names[op] then
		return " " .. names[op]
	end
	unnamed(tree)
	return " operation " .. op
end

local services = {}

services[0] = function(tree, tvb, at)
	local counts, info = nil, ""
	at, counts = walk(tree, tvb, at, negotiation)
	for n = 1, at and math.min(counts.frameworks + counts.services, 32) or 0 do
		local r = rd(tvb, at, 4)
		if not r then
			truncated(tree)
			break
		end
		local text = string.format("%s %d.%d", n <= counts.frameworks and "framework" or
			"service", r(0, 2):le_uint(), r(2, 2):le_uint())
		tree:add(f_version, r, text)
		info = info .. (n > 1 and "," or "") .. " " .. text
		at = at + 4
	end
	return info
end

services[1] = function(tree, tvb, at)
	walk(tree, tvb, at, heartbeat)
	return ""
end

services[2] = function(tree, tvb, at, values)
	local head
	at, head = walk(tree, tvb, at, kvp_head)
	if not at then
		return ""
	end
	local info = op_name(tree, kvp_op_names, head.op)
	if head.op <= 1 then
		walk(tree, tvb, at + 2, kvp_value)
	elseif head.op == 2 then
		walk(tree, tvb, at + 2, kvp_delete)
	elseif head.op == 3 then
		local index
		at, index = walk(tree, tvb, at + 2, kvp_index)
		if at then
			info = info .. " " .. index.index
			walk(tree, tvb, at, kvp_value)
		end
	elseif values.major >= 5 then
		at = walk(tree, tvb, at + 2, kvp_ip5)
		if at then
			rest(tree, tvb, at)
		end
	else
		walk(tree, tvb, at, kvp_ip)
	end
	return info
end

services[3] = function(tree, tvb, at)
	walk(tree, tvb, at, shutdown)
	return ""
end

services[4] = function(tree, tvb, at, values)
	local _, v = walk(tree, tvb, at, values.major >= 4 and timesync4 or timesync)
	return v.flags == 1 and " set" or v.flags == 2 and " sample" or ""
end

services[5] = function(tree, tvb, at)
	local v
	at, v = walk(tree, tvb, at, vss)
	if at then
		rest(tree, tvb, at)
	end
	return v.op and op_name(tree, vss_op_names, v.op) or ""
end

services[7] = function(tree, tvb, at)
	local head
	at, head = walk(tree, tvb, at, copy_head)
	if not at then
		return ""
	end
	if head.op == 0 then
		walk(tree, tvb, at, copy_start)
	elseif head.op == 1 then
		local data, v = walk(tree, tvb, at, copy_write)
		if data and v.len > 0 then
			rest(tree, tvb, data, data + v.len)
		end
	end
	return op_name(tree, copy_op_names, head.op)
end

local function component(tree, tvb)
	local at, values = walk(tree, tvb, 0, ic)
	if not values.type then
		return "IC"
	end
	local info = "IC " .. (ic_names[values.type] or "type " .. values.type)
	local service = services[values.type]
	if not service then
		unnamed(tree)
		return info
	end
	if values.flags then
		info = info .. (values.flags % 8 >= 4 and " answer" or " request")
	end
	if values.status and values.status ~= 0 then
		info = info .. string.format(" status 0x%08x", values.status)
	end
	-- An answer that failed may be without its body.
	if at and values.body > 0 and at < tvb:len() then
		info = info .. service(tree, tvb, at, values)
	end
	return info
end

-- ---- packets -----------------------------------------------------------------------------------

local classes = {
	["f8615163-df3e-46c5-913f-f2d2f965ed0e"] = {"network", network},
	["ba6163d9-04a1-4d29-b605-72e2ffb1dc7f"] = {"scsi", storage},
	["32412632-86cb-44a2-9b5c-50d1417354f5"] = {"ide", storage},
	["57164f39-9115-4e78-ab55-382f3bd5422d"] = {"heartbeat", component},
	["a9a0f4e7-5a45-4d96-b827-8a841e8c03e6"] = {"kvp", component},
	["0e0b6031-5213-4934-818b-38d90ced39db"] = {"shutdown", component},
	["9527e630-d0ae-497b-adce-e80ab0175caf"] = {"time-sync", component},
	["35fa2e29-ea23-4236-96ae-3a6ebacba440"] = {"vss", component},
	["34d14be3-dee4-41c8-9ae7-6b174977c192"] = {"file-copy", component},
}
local packet_names = {[6] = "in-band", [7] = "transfer pages", [9] = "GPA direct",
	[11] = "completion"}
local descriptor = prefix("packet", {
	{"u16", "type", "Type", packet_names}, {"u16", "header_len8", "Header, in 8 bytes"},
	{"u16", "len8", "Length, in 8 bytes"}, {"x16", "flags", "Flags"},
	{"x64", "xid", "Transaction"}})
local gpa_direct = prefix("packet", {{"skip", 4}, {"u32", "ranges", "Ranges"}})
local transfer = prefix("packet", {
	{"u16", "set", "Set of pages"}, {"u8", "owner", "Sender owns the set"}, {"skip", 1},
	{"u32", "ranges", "Ranges"}})
local transfer_range = prefix("packet.range", {
	{"u32", "bytes", "Bytes"}, {"u32", "offset", "Offset in the set"}})
local pipe = prefix("pipe", {{"u32", "type", "Type", {[1] = "data"}}, {"u32", "len", "Bytes"}})

local function ranges(tree, tvb, kind)
	if kind == 9 then
		local at, v = walk(tree, tvb, 16, gpa_direct)
		for _ = 1, at and math.min(v.ranges, 64) or 0 do
			at = pages(tree, tvb, at)
			if not at then
				return
			end
		end
	elseif kind == 7 then
		local at, v = walk(tree, tvb, 16, transfer)
		for _ = 1, at and math.min(v.ranges, 512) or 0 do
			at = walk(tree, tvb, at, transfer_range)
			if not at then
				return
			end
		end
	end
end

local function payload_of(tree, tvb, pinfo, ctx)
	local show = ctx.class and ctx.class[2]
	if ctx.piped and not ctx.completion then
		local at, v = walk(tree, tvb, 0, pipe)
		if not at then
			return "pipe"
		end
		local len = math.min(v.len, tvb:len() - at)
		if len < 1 then
			return "empty message"
		end
		if len < v.len then
			truncated(tree)
		end
		tvb = tvb(at, len):tvb()
		if not show then
			rest(tree, tvb, 0)
			return string.format("%d bytes", v.len)
		end
	end
	if show then
		return show(tree, tvb, pinfo, ctx)
	end
	rest(tree, tvb, 0)
	return string.format("%d bytes", tvb:len())
end

local function packet(tree, tvb, pinfo, ctx)
	local at, d = walk(tree, tvb, 0, descriptor)
	if not at then
		return "packet"
	end
	local kind = packet_names[d.type]
	if not kind then
		unnamed(tree)
		return "packet of type " .. d.type
	end
	ctx.completion = d.type == 11
	ctx.key = ctx.channel .. "/" .. tostring(tvb(8, 8):le_uint64())
	ranges(tree, tvb, d.type)
	local from = d.header_len8 * 8
	local len = math.min(d.len8 * 8, tvb:len()) - from
	if from < 16 or len < 1 then
		return kind .. ", empty"
	end
	return payload_of(tree, tvb(from, len):tvb(), pinfo, ctx) .. " (" .. kind .. ")"
end

-- ---- all ---------------------------------------------------------------------------------------

vmbus.fields = {}
do
	local list = {}
	for _, f in pairs(fields) do
		list[#list + 1] = f
	end
	vmbus.fields = list
end

function vmbus.init()
	asked = {}
	answers = {}
end

local function guid_text(r)
	local b = r:bytes()
	local function hex(...)
		local text = ""
		for _, i in ipairs({...}) do
			text = text .. string.format("%02x", b:get_index(i))
		end
		return text
	end
	return hex(3, 2, 1, 0) .. "-" .. hex(5, 4) .. "-" .. hex(7, 6) .. "-" .. hex(8, 9) .. "-" ..
		hex(10, 11, 12, 13, 14, 15)
end

function vmbus.dissector(tvb, pinfo, root)
	local tree = root:add(vmbus, tvb())
	local head = tree:add(vmbus, tvb(0, math.min(HEADER_BYTES, tvb:len())), "Capture")
	local at, h = walk(head, tvb, 0, header)

	pinfo.cols.protocol = "VMBus"
	if not at or h.version ~= 1 or h.header_bytes < HEADER_BYTES or
	   h.header_bytes >= tvb:len() then
		truncated(tree)
		pinfo.cols.info = "not a capture of VMBus"
		return tvb:len()
	end
	local ctx = {to_guest = h.to_guest ~= 0, channel = h.channel,
		class = classes[guid_text(tvb(24, 16))],
		piped = div(h.flags, PIPE) % 2 == 1 or div(h.flags, SOCKET) % 2 == 1}
	local name = ctx.class and ctx.class[1] or div(h.flags, SOCKET) % 2 == 1 and "socket" or "device"
	local what = tvb(h.header_bytes, tvb:len() - h.header_bytes):tvb()
	local info

	pinfo.cols.src = ctx.to_guest and "host" or "guest"
	pinfo.cols.dst = ctx.to_guest and "guest" or "host"
	if h.kind == KIND_MESSAGE then
		info = message(tree, what)
	elseif h.kind == KIND_PACKET then
		info = name .. " " .. h.channel .. ": " .. packet(tree, what, pinfo, ctx)
	elseif h.kind == KIND_PAYLOAD and ctx.class and ctx.class[2] == network then
		info = rndis_message(tree, what, pinfo, root)
		info = info and name .. " " .. h.channel .. ": " .. info
	elseif h.kind == KIND_PAYLOAD then
		rest(tree, what, 0)
		info = name .. " " .. h.channel .. ": payload"
	else
		unnamed(tree)
		info = "kind " .. h.kind
	end
	if info then
		pinfo.cols.info = info
		tree:add(f_name, info):set_generated()
		tree:append_text(", " .. info)
	end
	return tvb:len()
end

DissectorTable.get("wtap_encap"):add(wtap.USER0, vmbus)
