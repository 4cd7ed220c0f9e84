/*
 * This Source Code Form is subject to the terms of the Mozilla Public
 * License, v. 2.0. If a copy of the MPL was not distributed with this
 * file, You can obtain one at https://mozilla.org/MPL/2.0/.
 */

// The globals of every task: timers, console, Buffer. `host` contains the host functions.

var waiting = {};
var lastId = 0;

function nextId(handler) {
    lastId += 1;
    waiting[lastId] = handler;
    return lastId;
}

function setTimer(handler, millis) {
    var id = nextId(handler);
    if (!host.timer(id, Number(millis) || 0)) {
        delete waiting[id];
        throw new Error('too many timers');
    }
    return id;
}

function clearTimer(id) {
    if (id && waiting[id]) {
        delete waiting[id];
        host.untimer(id);
    }
}

function argumentsFrom(list, start) {
    return Array.prototype.slice.call(list, start);
}

function setTimeout(handler, millis) {
    var args = argumentsFrom(arguments, 2);
    return setTimer(function () {
        handler.apply(null, args);
    }, millis);
}

function setInterval(handler, millis) {
    var args = argumentsFrom(arguments, 2);
    var id;
    function again() {
        // The timer keeps its id, so that it can be cleared.
        waiting[id] = again;
        host.timer(id, Math.max(1, Number(millis) || 0));
        handler.apply(null, args);
    }
    id = setTimer(again, millis);
    return id;
}

function setImmediate(handler) {
    var args = argumentsFrom(arguments, 1);
    return setTimer(function () {
        handler.apply(null, args);
    }, 0);
}

function inspect(value) {
    if (typeof (value) === 'string') {
        return value;
    }
    if (value instanceof Error) {
        return value.stack || String(value);
    }
    try {
        return JSON.stringify(value);
    } catch (e) {
        return String(value);
    }
}

function format(template) {
    var args = argumentsFrom(arguments, 1);
    if (typeof (template) !== 'string') {
        return argumentsFrom(arguments, 0).map(inspect).join(' ');
    }
    var text = template.replace(/%[sdj%]/g, function (mark) {
        if (mark === '%%') {
            return '%';
        }
        if (args.length === 0) {
            return mark;
        }
        var value = args.shift();
        return mark === '%d' ? String(Number(value)) : mark === '%j' ? JSON.stringify(value) : inspect(value);
    });
    return [text].concat(args.map(inspect)).join(' ');
}

// Creates a logger with bunyan's interface: the first argument may be an object or an error.
function createLogger() {
    var logger = {
        child: function () {
            return logger;
        },
        level: function () {
            return 30;
        }
    };
    ['trace', 'debug', 'info', 'warn', 'error', 'fatal'].forEach(function (level) {
        logger[level] = function () {
            if (arguments.length === 0) {
                return level !== 'trace' && level !== 'debug';
            }
            host.log(level, format.apply(null, arguments));
            return undefined;
        };
    });
    return logger;
}

var log = createLogger();
var console = {log: log.info, info: log.info, warn: log.warn, error: log.error, dir: log.info, trace: log.trace};

var BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

function utf8Bytes(text) {
    return unescape(encodeURIComponent(text)).split('').map(function (char) {
        return char.charCodeAt(0);
    });
}

function base64Of(bytes) {
    var text = '';
    for (var i = 0; i < bytes.length; i += 3) {
        var triple = (bytes[i] << 16) | ((bytes[i + 1] || 0) << 8) | (bytes[i + 2] || 0);
        text += BASE64[triple >> 18] + BASE64[(triple >> 12) & 63] +
            (i + 1 < bytes.length ? BASE64[(triple >> 6) & 63] : '=') +
            (i + 2 < bytes.length ? BASE64[triple & 63] : '=');
    }
    return text;
}

function bytesOfBase64(text) {
    var bytes = [];
    var bits = 0;
    var held = 0;
    text.replace(/[^A-Za-z0-9+\/]/g, '').split('').forEach(function (char) {
        held = ((held << 6) | BASE64.indexOf(char)) & 0xffff;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            bytes.push((held >> bits) & 255);
        }
    });
    return bytes;
}

// An array of bytes with the conversions that tasks use: utf8, base64 and hex.
function Buffer(value, encoding) {
    var bytes = value;
    if (typeof (value) === 'string') {
        bytes = encoding === 'base64' ? bytesOfBase64(value) :
            encoding === 'hex' ? (value.match(/../g) || []).map(function (pair) {
                return parseInt(pair, 16);
            }) : utf8Bytes(value);
    }
    var buffer = Uint8Array.from(typeof (bytes) === 'number' ? new Uint8Array(bytes) : bytes);
    Object.defineProperty(buffer, 'toString', {value: function (as) {
        var list = Array.from(buffer);
        if (as === 'base64') {
            return base64Of(list);
        }
        if (as === 'hex') {
            return list.map(function (byte) {
                return (byte < 16 ? '0' : '') + byte.toString(16);
            }).join('');
        }
        return decodeURIComponent(escape(String.fromCharCode.apply(null, list)));
    }});
    return buffer;
}
Buffer.from = Buffer;
Buffer.byteLength = function (text) {
    return utf8Bytes(text).length;
};
Buffer.isBuffer = function (value) {
    return value instanceof Uint8Array;
};
